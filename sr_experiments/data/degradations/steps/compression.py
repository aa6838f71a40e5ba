"""Video compression with a real encoder, x264."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Le

from sr_experiments.config.constraints import Interval
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import OptionalStep, Parameters
from sr_experiments.video.encode import repeatable_x264

THREADS = 4  # clips encoded in parallel
Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]


@STEPS.register("h264")
@dataclass
class H264(OptionalStep):
    """Step that encodes each clip with libx264 (4:2:0, 8 bits) in memory and decodes it, on the CPU.

    Args:
        crf: range of the constant rate factor, 0 to 51; whole numbers are drawn. x264's default is 23.
        preset: x264 preset.
    """

    crf: Interval[Annotated[float, Ge(0), Le(51)]]
    preset: Preset = "veryfast"

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        return {"crf": draw.uniform(clips, self.crf, generator).round()}

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Return the images encoded and decoded, multiples of 1/255."""
        channels = canvas.pixels.shape[1]
        levels = (canvas.pixels * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()  # (N * T, H, W, C)
        if channels == 1:
            levels = levels.expand(-1, -1, -1, 3)
        decoded = levels.clone().numpy()

        def compress_clip(first: int) -> None:
            if parameters["applied"][first]:
                height, width = int(canvas.heights[first]), int(canvas.widths[first])
                clip = decoded[first : first + canvas.frames, :height, :width]
                clip[:] = compress(clip, int(parameters["crf"][first]), self.preset)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(compress_clip, range(0, len(canvas), canvas.frames)))  # list: raises what a thread raised
        pixels = torch.from_numpy(decoded[..., :channels]).permute(0, 3, 1, 2).to(canvas.pixels) / 255
        applied = parameters["applied"][:, None, None, None].to(pixels.device)
        return canvas.with_pixels(torch.where(applied, pixels, canvas.pixels))

    def _label(self, drawn: Parameters) -> str:
        return f"crf {drawn['crf']:.0f}"


def compress(clip: np.ndarray, crf: int, preset: str) -> np.ndarray:
    """Return a clip (T, H, W, 3), uint8, encoded and decoded."""
    height, width = clip.shape[1:3]
    # 4:2:0 needs even sides; x264 itself extends frames to whole macroblocks.
    even = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    import av  # here, since most degradations are of images

    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = even.shape[1:3]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    encoder.thread_count = 1  # x264's output depends on the number of threads, and so on the machine
    encoder.options = {"crf": str(crf), "preset": preset, **repeatable_x264()}
    packets = []
    for number, pixels in enumerate(even):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)  # flush what the encoder holds back
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    return np.stack([frame.to_ndarray(format="rgb24")[:height, :width] for frame in frames])
