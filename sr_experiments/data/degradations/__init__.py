"""Degradations, which make LR from HR on the device.

One that is composed of steps is a YAML file with its `stages`, whatever its name, see `pipeline`. To add another: a
class with the methods of `Degradation`, registered in its file.
"""

from typing import Protocol

import torch
from torch import Tensor

from sr_experiments.registry import Registry


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


DEGRADATIONS: Registry[Degradation] = Registry("degradation", "sr_experiments.data.degradations", {"scale": "scale"})
