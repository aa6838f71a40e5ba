"""A degradation composed of random steps, with parameters drawn per image (Real-ESRGAN, classical, video)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor

from sr_experiments.config.constraints import Share
from sr_experiments.data.degradations import DEGRADATIONS, Degradation
from sr_experiments.data.degradations.steps import STEPS, build_step, draw
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.resize import Resize
from sr_experiments.data.degradations.steps.sharpen import sharpen
from sr_experiments.data.degradations.steps.step import Parameters, take
from sr_experiments.data.depth import quantised
from sr_experiments.data.resize import bicubic_downsample
from sr_experiments.registry import Component

CPU_GROUP = 12  # images per group on a CPU: small enough to stay in its cache
VALIDATION_SEED = 20210722  # changing it changes validation LR, and with it every validation metric


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch's CPU operations in the calling thread only: these are too short to gain from several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@DEGRADATIONS.register(with_argument="stages")
class Pipeline(Degradation):
    """Degradation that applies a list of steps; LR pixels are centred on the HR pixels they cover.

    Parameters are drawn on the CPU and random pixels on the images' device, both from generators seeded by the one
    passed in, so LR is a function of HR and the state of that generator. It is read once per batch.

    Args:
        stages: steps in order, each a mapping of `name` and its arguments; see `STEPS`. A last resize to the size of
            LR is added.
        usm: generate LR from sharpened HR, and return sharpened HR as `target`.
        pool: number of LR and HR pairs from which batches are mixed, see `PairPool`; 0 for no pool.
        bicubic: fraction of the training images, or clips, whose LR is plain bicubic instead of all steps.
    """

    def __init__(
        self,
        scale: int,
        stages: Annotated[Sequence[Annotated[Mapping[str, Any], Component(STEPS)]], MinLen(1)],
        usm: bool = False,
        pool: Annotated[int, Ge(0), Le(100_000)] = 0,
        bicubic: Share = 0.0,
    ) -> None:
        super().__init__(scale)
        self.steps = [build_step(stage) for stage in stages]
        self._to_lr = Resize(of="lr", modes={"area": 1})
        self.usm = usm
        self.pool_size = pool
        self.bicubic = bicubic

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """Return the LR batch of a training step."""
        seeds = torch.randint(2**62, (2,), generator=generator).tolist()
        parameters = self.draw(len(hr) // frames, frames, torch.Generator().manual_seed(seeds[0]))
        lr = self.apply(hr, parameters, torch.Generator(hr.device).manual_seed(seeds[1]), frames)
        if not self.bicubic:
            return lr
        plain = draw.chance(len(hr) // frames, self.bicubic, torch.Generator().manual_seed(seeds[0] + 1))
        chosen = plain.repeat_interleave(frames)[:, None, None, None].to(hr.device)
        return torch.where(chosen, bicubic_downsample(self.target(hr), self.scale, self.bits), lr)

    def check_channels(self, channels: int) -> None:
        """Check that no step is of grey and RGB images only, if these are others."""
        for step in self.steps:
            step.check_channels(channels)

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Return LR of validation images, (N, C, H / scale, W / scale).

        Parameters depend on the image size only, noise on size and frame number. They are therefore the same in
        every run and for any set of images, and the frames of a clip share their parameters.
        """
        height, width = hr.shape[-2:]
        seed = VALIDATION_SEED + 8191 * height + width
        lr = []
        for image in hr.split(1):
            parameters = self.draw(1, 1, torch.Generator().manual_seed(seed))
            lr.append(self.apply(image, parameters, torch.Generator(hr.device).manual_seed(seed + frame + 1)))
        return torch.cat(lr)

    def target(self, hr: Tensor) -> Tensor:
        """Return the target for SR, (N, C, H, W): sharpened HR with `usm`, else HR."""
        return sharpen(hr) if self.usm else hr

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> list[Parameters]:
        """Draw the parameters of every step for a batch; `generator` is on the CPU."""
        with one_thread():
            return [step.draw(clips, frames, generator) for step in self.steps]

    @torch.no_grad()
    def apply(self, hr: Tensor, parameters: list[Parameters], generator: torch.Generator, frames: int = 1) -> Tensor:
        """Return LR of a batch for drawn parameters; `generator` draws random pixels and is on the images' device."""
        n, _, height, width = hr.shape
        sizes = torch.full((n,), height), torch.full((n,), width)
        batch = Canvas(hr.float(), *sizes, lr_size=(height // self.scale, width // self.scale), frames=frames)
        if not batch.per_image:
            return self._apply_steps(batch, parameters, generator)
        groups = torch.arange(n).split(max(1, CPU_GROUP // frames) * frames)  # a clip is never divided
        with one_thread():
            if len(groups) == 1:
                return self._apply_steps(batch, parameters, generator)
            return torch.cat([self._apply_steps(batch.take(i), take(parameters, i), generator) for i in groups])

    def _apply_steps(self, canvas: Canvas, parameters: list[Parameters], generator: torch.Generator) -> Tensor:
        """Return LR of the images of a canvas."""
        n = len(canvas)
        with torch.autocast(canvas.pixels.device.type, enabled=False):
            canvas = canvas.with_pixels(self.target(canvas.pixels))
            for step, drawn in zip(self.steps, parameters, strict=True):
                canvas = step.apply(canvas, drawn, generator)
            canvas = self._to_lr.apply(canvas, {"factor": torch.ones(n), "mode": torch.zeros(n)}, generator)
            return quantised(canvas.pixels, self.bits)

    def describe(self, parameters: list[Parameters], i: int) -> str:
        """Describe the steps applied to image i: `iso 1.2, x0.50 area, jpeg 70`."""
        return ", ".join(filter(None, (s.describe(p, i) for s, p in zip(self.steps, parameters, strict=True))))
