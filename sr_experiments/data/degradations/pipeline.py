"""A degradation that is composed of steps, each image with its own parameters (Real-ESRGAN, classical, video)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.degradations.steps import STEPS, build_step
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.resize import Resize
from sr_experiments.data.degradations.steps.sharpen import sharpen
from sr_experiments.data.degradations.steps.step import Parameters, take
from sr_experiments.registry import Component

TOGETHER = 12  # images at a time on a CPU: they stay in its cache
VALIDATION_SEED = 20210722


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's operations on the CPU by the calling thread alone: here they are too short to be shared out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@DEGRADATIONS.register(with_argument="stages")
class Pipeline:
    """LR is HR after all stages, in 255ths; its pixels lie in the middle of the HR pixels they cover.

    All parameters are drawn on the CPU and random pixels on the images' device, both from generators that the
    given one seeds: LR is a function of HR and the generator's state. A generator's state is read once a batch.

    Args:
        scale: whole downsampling factor.
        stages: steps by name with their arguments, in their order; see `STEPS`. The last size is that of LR.
        usm: make LR from sharpened HR, and give sharpened HR as `target`.
        pool: how many pairs of LR and HR to mix batches from, see `PairPool`; 0 for none.

    Attributes:
        pool_size: the `pool` that was asked for.

    Raises:
        SRError: unknown step or argument, or no stages.
    """

    phase = "centred"

    def __init__(
        self,
        scale: int,
        stages: Annotated[Sequence[Annotated[Mapping[str, Any], Component(STEPS)]], MinLen(1)],
        usm: bool = False,
        pool: Annotated[int, Ge(0), Le(100_000)] = 0,
    ) -> None:
        self.scale = scale
        self.steps = [build_step(stage) for stage in stages]
        self._to_lr = Resize(of="lr", modes={"area": 1})
        self.usm = usm
        self.pool_size = pool

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """Make the LR batch of a training step.

        Args:
            hr: (N, C, H, W) in [0, 1], H and W multiples of the scale; of clips, their frames one after the other.
            generator: of all that is random, on the CPU: for one on the GPU its other work would be waited for.
            frames: of each clip, which share their parameters. N is a multiple of it.

        Returns:
            (N, C, H / scale, W / scale), 255ths in [0, 1].
        """
        seeds = torch.randint(2**62, (2,), generator=generator).tolist()
        parameters = self.draw(len(hr) // frames, frames, torch.Generator().manual_seed(seeds[0]))
        return self.apply(hr, parameters, torch.Generator(hr.device).manual_seed(seeds[1]), frames)

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Make the LR image of a validation image, (N, C, H / scale, W / scale).

        Its parameters follow from its size alone, its noise from size and frame: they are the same in every run and
        whatever other images there are, and the frames of a clip share theirs.

        Args:
            hr: (N, C, H, W) in [0, 1].
            frame: number of the frame in its clip.
        """
        height, width = hr.shape[-2:]
        made = []
        for image in hr.split(1):
            seed = VALIDATION_SEED + 8191 * height + width
            parameters = self.draw(1, 1, torch.Generator().manual_seed(seed))
            made.append(self.apply(image, parameters, torch.Generator(hr.device).manual_seed(seed + frame + 1)))
        return torch.cat(made)

    def target(self, hr: Tensor) -> Tensor:
        """What SR is to be like, (N, C, H, W): sharpened HR with `usm`, else HR."""
        return sharpen(hr) if self.usm else hr

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> list[Parameters]:
        """Parameters of a batch, of every step; `generator` is on the CPU."""
        with one_thread():
            return [step.draw(clips, frames, generator) for step in self.steps]

    @torch.no_grad()
    def apply(self, hr: Tensor, parameters: list[Parameters], generator: torch.Generator, frames: int = 1) -> Tensor:
        """LR of a batch by drawn parameters; `generator` is for random pixels and lives on their device."""
        n, _, height, width = hr.shape
        sizes = torch.full((n,), height), torch.full((n,), width)
        whole = Canvas(hr.float(), *sizes, lr_size=(height // self.scale, width // self.scale), frames=frames)
        if not whole.one_by_one:
            return self._steps(whole, parameters, generator)
        groups = torch.arange(n).split(max(1, TOGETHER // frames) * frames)
        with one_thread():
            if len(groups) == 1:
                return self._steps(whole, parameters, generator)
            return torch.cat([self._steps(whole.take(i), take(parameters, i), generator) for i in groups])

    def _steps(self, canvas: Canvas, parameters: list[Parameters], generator: torch.Generator) -> Tensor:
        """LR of images that are worked on at once."""
        n = len(canvas)
        with torch.autocast(canvas.pixels.device.type, enabled=False):
            canvas = canvas.with_pixels(self.target(canvas.pixels))
            for step, drawn in zip(self.steps, parameters, strict=True):
                canvas = step.apply(canvas, drawn, generator)
            canvas = self._to_lr.apply(canvas, {"factor": torch.ones(n), "mode": torch.zeros(n)}, generator)
            return (canvas.pixels * 255).round().clamp(0, 255) / 255

    def describe(self, parameters: list[Parameters], i: int) -> str:
        """What is done to image i, step by step."""
        return ", ".join(filter(None, (s.describe(p, i) for s, p in zip(self.steps, parameters, strict=True))))
