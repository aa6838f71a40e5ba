"""Losses on structural similarity at several scales."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from kornia.losses import MS_SSIMLoss as GaussianSSIM
from torch import Tensor, nn

from sr_experiments.config.constraints import Share
from sr_experiments.errors import SRError
from sr_experiments.losses import LOSSES

# Of the scales, finest first (Wang et al. 2003).
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5  # Gaussian, in pixels


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
    taps = torch.arange(WINDOW, device=x.device) - WINDOW // 2
    kernel = torch.exp(-taps.square() / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()

    def mean(image: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(image, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))

    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x.square() + mean(y * y) - mean_y.square()
    covariance = mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


@LOSSES.register("ms_ssim_l1")
class MSSSIML1Loss(nn.Module):
    """alpha * (1 - MS-SSIM) + (1 - alpha) * L1, weighted by a Gaussian (Zhao et al. 2017, arXiv 1511.08861).

    Kornia's: the scales are Gaussians of sigma 0.5 to 8 at full resolution, as in the paper.

    Args:
        alpha: share of MS-SSIM; 0.84 in the paper.
    """

    def __init__(self, alpha: Share = 0.84) -> None:
        super().__init__()
        self.loss = GaussianSSIM(alpha=alpha, compensation=1.0)  # of no state

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] twice to a scalar."""
        with torch.autocast(sr.device.type, enabled=False):
            return self.loss(sr.float(), hr.float())
