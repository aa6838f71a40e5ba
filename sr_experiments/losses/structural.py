"""Losses on structural similarity at several scales."""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Share
from sr_experiments.errors import SRError
from sr_experiments.losses import LOSSES

# Of the scales, finest first (Wang et al. 2003).
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5  # Gaussian, in pixels
SIGMAS, REACH = (0.5, 1.0, 2.0, 4.0, 8.0), 16  # of the Gaussians of ms_ssim_l1, which are cut off there; in pixels
C1, C2 = 0.01**2, 0.03**2  # of SSIM, for values in [0, 1]


@LOSSES.register("ms_ssim")
class MSSSIMLoss(nn.Module):
    """1 - MS-SSIM (Wang et al. 2003), per channel, without borders, in float32.

    The definition's five scales, each half the size of the one before, need crops of 176 pixels a side or more.
    Smaller ones are compared at the finest scales that fit, whose weights are divided by their sum: four from 88 on,
    three from 44. (torchmetrics' MS-SSIM mirrors the borders at the coarsest scale only, and is some percent off.)

    Args:
        scales: maximum number of scales.

    Raises:
        SRError: images of at most 10 pixels a side.
    """

    def __init__(self, scales: Annotated[int, Ge(1), Le(5)] = 5) -> None:
        super().__init__()
        self.scales = scales

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] twice to a scalar in [0, 1]."""
        side = min(sr.shape[-2:])
        if side < WINDOW:
            raise SRError(f"the loss ms_ssim compares windows of {WINDOW}x{WINDOW} pixels: {side} are too few")
        scales = [scale for scale in range(self.scales) if side >> scale >= WINDOW]
        weights = torch.tensor(WEIGHTS[: len(scales)], device=sr.device)
        factors = []
        with torch.autocast(sr.device.type, enabled=False):  # variances are lost in bfloat16
            x, y = sr.float().flatten(0, 1)[:, None], hr.float().flatten(0, 1)[:, None]  # (N * C, 1, H, W)
            for scale in scales:
                if scale:
                    x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
                luminance, structure = _similarity(x, y)
                last = luminance * structure if scale == scales[-1] else structure
                factors.append(last.flatten(1).mean(1))
            # A negative factor has no power: it counts as 0, just above which the slope is finite.
            similarity = torch.stack(factors, 1).clamp(min=1e-4).pow(weights / weights.sum()).prod(1)
        return 1 - similarity.mean()


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, of SSIM in each whole window of (N, 1, H, W), for values in [0, 1]."""
    # A product with a banded matrix is several times as fast on a CPU as a convolution of one channel.
    rows, columns = (
        _gaussians(side, (SIGMA,), WINDOW // 2, x)[0, WINDOW // 2 : -(WINDOW // 2)] for side in x.shape[-2:]
    )
    return _compared(x, y, lambda image: rows @ image @ columns.T)


def _compared(x: Tensor, y: Tensor, mean: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, of SSIM, with what takes the mean of a window."""
    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x.square() + mean(y * y) - mean_y.square()
    covariance = mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return luminance, (2 * covariance + C2) / (variances + C2)


def _gaussians(side: int, sigmas: Sequence[float], reach: int, like: Tensor) -> Tensor:
    """Return a matrix for each sigma, (S, side, side), whose product with a column filters it, with zeros around it.

    The Gaussians are cut off at `reach` pixels, where their sum is 1.
    """
    at = torch.arange(side, device=like.device)
    distances = (at[:, None] - at).abs()
    taps = torch.arange(-reach, reach + 1, device=like.device)
    spread = 2 * torch.tensor(sigmas, device=like.device, dtype=like.dtype).square()[:, None, None]
    sums = torch.exp(-taps.square() / spread).sum(2, keepdim=True)
    return torch.exp(-distances.square() / spread) / sums * (distances <= reach)


@LOSSES.register("ms_ssim_l1")
class MSSSIML1Loss(nn.Module):
    """alpha * (1 - MS-SSIM) + (1 - alpha) * L1, weighted by a Gaussian (Zhao et al. 2017, arXiv 1511.08861).

    As in the paper, the scales are Gaussians of sigma 0.5 to 8 at full resolution. As in kornia's loss, they compare
    every pixel, with zeros around the image, in float32.

    Args:
        alpha: share of MS-SSIM; 0.84 in the paper.
    """

    def __init__(self, alpha: Share = 0.84) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] twice to a scalar."""
        with torch.autocast(sr.device.type, enabled=False):
            x, y = sr.float()[:, :, None], hr.float()[:, :, None]  # (N, C, 1, H, W), filtered to (N, C, S, H, W)
            rows, columns = (_gaussians(side, SIGMAS, REACH, x) for side in x.shape[-2:])
            luminance, structure = _compared(x, y, lambda image: rows @ image @ columns.mT)
            similarity = luminance[:, :, -1] * structure.prod(2)
            l1 = rows[-1] @ (x - y).abs() @ columns[-1].T
        return self.alpha * (1 - similarity.mean()) + (1 - self.alpha) * l1.mean()
