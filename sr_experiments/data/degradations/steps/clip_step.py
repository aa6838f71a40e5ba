"""Base of degradation steps that other software applies to whole clips: encoders, deinterlacers."""

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import torch

from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import OptionalStep, Parameters, take

THREADS = 4  # clips processed in parallel


class ClipStep(OptionalStep):
    """Step that other software applies to each clip, in 8 bits, on the CPU; subclasses say how."""

    needs_colours: ClassVar[bool] = True

    def _processed(self, clip: np.ndarray, drawn: Parameters) -> np.ndarray:
        """Return what becomes of a clip (T, H, W, 3), uint8."""
        raise NotImplementedError

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Return the processed images, multiples of 1/255."""
        channels = canvas.pixels.shape[1]
        levels = (canvas.pixels * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()  # (N * T, H, W, C)
        if channels == 1:
            levels = levels.expand(-1, -1, -1, 3)
        decoded = levels.clone().numpy()

        def process_clip(first: int) -> None:
            if parameters["applied"][first]:
                height, width = int(canvas.heights[first]), int(canvas.widths[first])
                clip = decoded[first : first + canvas.frames, :height, :width]
                clip[:] = self._processed(clip, take(parameters, first))

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(process_clip, range(0, len(canvas), canvas.frames)))  # list: raises what a thread raised
        pixels = torch.from_numpy(decoded[..., :channels]).permute(0, 3, 1, 2).to(canvas.pixels) / 255
        applied = parameters["applied"][:, None, None, None].to(pixels.device)
        return canvas.with_pixels(torch.where(applied, pixels, canvas.pixels))
