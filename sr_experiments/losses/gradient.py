"""Losses on differences between neighbouring pixels."""

from kornia.filters import spatial_gradient
from torch import Tensor, nn

from sr_experiments.losses import LOSSES


@LOSSES.register("gradient")
class GradientLoss(nn.Module):
    """Mean absolute difference of the Sobel gradients of SR and HR, in both directions.

    Edges as steep as HR's, whatever the brightness beside them; Ma et al. 2020 (arXiv 2003.13081) compare gradients so.
    Sobel's filters are divided by 8: a ramp of one a pixel has gradient 1.
    """

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar: gradients are linear, so they are of the difference."""
        return spatial_gradient(sr - hr, mode="sobel", normalized=True).abs().mean()


@LOSSES.register("total_variation")
class TotalVariationLoss(nn.Module):
    """Mean absolute difference of neighbours, rows plus columns, of SR alone (Rudin et al. 1992); reduces noise."""

    inputs = ("sr",)

    def forward(self, sr: Tensor) -> Tensor:
        """(N, C, H, W) to a scalar."""
        return sr.diff(dim=-2).abs().mean() + sr.diff(dim=-1).abs().mean()
