"""Distance between wavelet bands: each size and direction of detail by itself."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Weight
from sr_experiments.losses import LOSSES


@LOSSES.register("wavelet")
class WaveletLoss(nn.Module):
    """Weighted L1 of the bands of the stationary (undecimated) Haar wavelet transform.

    Wavelet-domain losses for SR: Korkmaz et al. 2024, arXiv 2402.19215. At each level an image is split into a smoothed
    one, of which the next level is made, and horizontal, vertical and diagonal detail; all keep its size, and borders
    wrap around. Filters are orthonormal: constant images have 2^levels times their value in the smoothed band.

    Args:
        levels: number of levels.
        smooth: weight of the smoothed image of the last level.
        detail: weight of the three detail bands of each level.
    """

    def __init__(self, levels: Annotated[int, Ge(1), Le(5)] = 2, smooth: Weight = 0.1, detail: Weight = 1.0) -> None:
        super().__init__()
        self.levels = levels
        self.smooth = smooth
        self.detail = detail

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar: the transform is linear, so it is of their difference."""
        band, channels = sr - hr, sr.shape[1]
        filters = haar_filters(band).repeat(channels, 1, 1, 1)
        loss = band.new_zeros(())
        for level in range(self.levels):
            step = 2**level  # between the taps
            bands = F.conv2d(F.pad(band, (0, step, 0, step), "circular"), filters, dilation=step, groups=channels)
            band, *details = bands.unflatten(1, (channels, 4)).unbind(2)
            loss = loss + self.detail * torch.stack(details).abs().mean()
        return loss + self.smooth * band.abs().mean()


def haar_filters(like: Tensor) -> Tensor:
    """Return (4, 1, 2, 2): smoothing, and detail across rows, across columns and across both."""
    low, high = like.new_tensor([[1.0, 1.0], [1.0, -1.0]]).mul(0.5**0.5)
    return torch.stack([torch.outer(a, b) for a in (low, high) for b in (low, high)])[:, None]
