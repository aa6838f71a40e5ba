"""Losses on pixels: means over all values of a batch."""

import torch
from torch import Tensor, nn

from sr_experiments.config.constraints import Share
from sr_experiments.losses import LOSSES


@LOSSES.register("mse")
class MSELoss(nn.Module):
    """Mean squared error: the most likely image under Gaussian noise, and the highest PSNR."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar."""
        return (sr - hr).square().mean()


@LOSSES.register("l1")
class L1Loss(nn.Module):
    """Mean absolute error; sharper and more stable than MSE in practice (Zhao et al. 2017, arXiv 1511.08861)."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar."""
        return (sr - hr).abs().mean()


@LOSSES.register("charbonnier")
class CharbonnierLoss(nn.Module):
    """Mean of sqrt(d^2 + eps^2), a version of L1 that is smooth at 0 (Lai et al. 2017, arXiv 1704.03915).

    Args:
        eps: width of the smooth part; BasicSR uses 1e-6 (written as eps = 1e-12 under the root).
    """

    def __init__(self, eps: Share = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar."""
        return torch.sqrt((sr - hr).square() + self.eps**2).mean()
