"""Bicubic downsampling, as in the classic benchmarks (Set5, Set14, BSD100, DIV2K "bicubic")."""

from fractions import Fraction

import torch
from torch import Tensor

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.resize import imresize


@DEGRADATIONS.register("bicubic")
class Bicubic:
    """Degradation by MATLAB's `imresize(hr, 1 / scale)` on 8-bit images.

    Args:
        scale: integer downsampling factor.
    """

    phase = "centred"
    pool_size = 0

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """Return the LR batch of a training step; nothing here is random.

        Args:
            hr: (N, C, H, W) in [0, 1], H and W multiples of the scale.
            generator: unused.
            frames: unused.

        Returns:
            (N, C, H / scale, W / scale), multiples of 1/255 in [0, 1].
        """
        return self.validation(hr)

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Return LR of validation images, (N, C, H / scale, W / scale)."""
        return imresize(hr, Fraction(1, self.scale))

    def target(self, hr: Tensor) -> Tensor:
        """Return HR unchanged."""
        return hr
