"""Bicubic downsampling, the degradation of the classic benchmarks (Set5, Set14, BSD100, DIV2K "bicubic")."""

from fractions import Fraction

import torch
from torch import Tensor

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.resize import imresize


@DEGRADATIONS.register("bicubic")
class Bicubic:
    """LR as MATLAB's `imresize(hr, 1 / scale)` makes it from 8-bit images.

    Args:
        scale: whole downsampling factor.
    """

    phase = "centred"
    pool_size = 0

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """Make the LR batch of a training step; nothing here is random.

        Args:
            hr: (N, C, H, W) in [0, 1], H and W multiples of the scale.
            generator: unused.
            frames: unused.

        Returns:
            (N, C, H / scale, W / scale), 255ths in [0, 1].
        """
        return self.validation(hr)

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Make the LR image of a validation image, (N, C, H / scale, W / scale)."""
        return imresize(hr, Fraction(1, self.scale))

    def target(self, hr: Tensor) -> Tensor:
        """HR as it is."""
        return hr
