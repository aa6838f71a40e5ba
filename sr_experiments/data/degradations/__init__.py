"""Degradations, which make LR from HR on the device. To add one: a class with the methods of `Degradation`."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from sr_experiments.data.degradations.bicubic import Bicubic
from sr_experiments.data.degradations.blur_down import BlurDown
from sr_experiments.data.degradations.pipeline import Pipeline


class Degradation(Protocol):
    """Interface of a degradation; it is constructed with `scale=` and its own arguments.

    Attributes:
        phase: where LR pixels lie on the HR grid. "centred": the centre of LR pixel i is the centre of HR pixels
            scale * i to scale * i + scale - 1. "corner": LR pixel i lies on HR pixel scale * i. Upsampling needs
            to know: `bicubic_upsample(lr, scale, phase)` does not shift the image.
        scale: downsampling factor.
        pool_size: number of pairs in the pool that training mixes its batches from (`PairPool`); 0 for no pool.
    """

    phase: str
    scale: int
    pool_size: int

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """Return LR of a training batch; random parameters come from `generator` and are shared by a clip's frames."""
        ...

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Return LR of validation images, the same in every run; `frame` is the frame number within the clip."""
        ...

    def target(self, hr: Tensor) -> Tensor:
        """Return the target for SR: HR, or sharpened HR."""
        ...


# Pipelines share one class; conf/degradation/<name>.yaml lists their steps.
DEGRADATIONS: dict[str, Callable[..., Degradation]] = {
    "bicubic": Bicubic,
    "blur_down": BlurDown,
    "classical": Pipeline,
    "real_esrgan": Pipeline,
    "video": Pipeline,
}
