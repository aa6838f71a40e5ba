"""How LR is made from HR, on the device.

One that is composed of steps is a YAML file with its `stages`, whatever its name, see `pipeline`. To add another: a
class with the methods of `Degradation`, registered in its file.
"""

from typing import Protocol

import torch
from torch import Tensor

from sr_experiments.registry import Registry


class Degradation(Protocol):
    """What training asks of a degradation; constructed with `scale=` and its own arguments.

    Attributes:
        phase: where LR pixels lie on the HR grid. "centred": LR pixel i covers HR pixels scale * i to
            scale * i + scale - 1, its centre is theirs. "corner": it lies on HR pixel scale * i. Enlarging LR
            must know it: `bicubic_upsample(lr, scale, phase)` doesn't shift the picture.
        scale: downsampling factor.
        pool_size: how many pairs training mixes its batches from (`PairPool`); 0 for none.
    """

    phase: str
    scale: int
    pool_size: int

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """LR of a training batch; all that is random is drawn from `generator`, alike for the frames of a clip."""
        ...

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """LR of validation images, the same in every run; `frame` is their number in their clip."""
        ...

    def target(self, hr: Tensor) -> Tensor:
        """What SR is to be like: HR, or HR sharpened."""
        ...


DEGRADATIONS: Registry[Degradation] = Registry("degradation", "sr_experiments.data.degradations", {"scale": "scale"})
