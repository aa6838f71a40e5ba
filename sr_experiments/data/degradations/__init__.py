"""How LR is made from HR, on the device. To add one: a class with the methods of `Degradation`, and its name here."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from sr_experiments.data.degradations.bicubic import Bicubic
from sr_experiments.data.degradations.blur_down import BlurDown


class Degradation(Protocol):
    """What training asks of a degradation; constructed with `scale=` and its own arguments.

    Attributes:
        phase: where LR pixels lie on the HR grid. "centred": LR pixel i covers HR pixels scale * i to
            scale * i + scale - 1, its centre is theirs. "corner": it lies on HR pixel scale * i. Enlarging LR
            must know it: `bicubic_upsample(lr, scale, phase)` doesn't shift the picture.
    """

    phase: str

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """LR of a training batch; all that is random is drawn from `generator`."""
        ...

    def validation(self, hr: Tensor) -> Tensor:
        """LR of validation images, the same in every run."""
        ...


DEGRADATIONS: dict[str, Callable[..., Degradation]] = {
    "bicubic": Bicubic,
    "blur_down": BlurDown,
}
