"""A loss on what LR knows: SR made small again must be LR."""

from fractions import Fraction
from typing import Literal

from torch import Tensor, nn

from sr_experiments.config.constraints import Positive
from sr_experiments.data.degradations.blur_down import blurred_down
from sr_experiments.data.resize import imresize
from sr_experiments.losses import LOSSES


@LOSSES.register("consistency")
class ConsistencyLoss(nn.Module):
    """Mean absolute difference of LR and SR downscaled in the same way as LR.

    An SR that is consistent with LR has no error in what LR shows, and is free in the rest. Only for LR that is made by
    the degradation `kernel` alone, without noise or compression.

    Args:
        kernel: "bicubic" for degradation=bicubic, "gaussian" for degradation=blur_down.
        sigma: standard deviation of the Gaussian, in HR pixels.
    """

    inputs = ("sr", "lr")

    def __init__(self, kernel: Literal["bicubic", "gaussian"] = "bicubic", sigma: Positive = 1.5) -> None:
        super().__init__()
        self.kernel = kernel
        self.sigma = sigma

    def forward(self, sr: Tensor, lr: Tensor) -> Tensor:
        """(N, C, scale * H, scale * W) and (N, C, H, W) to a scalar."""
        scale = sr.shape[-1] // lr.shape[-1]
        if self.kernel == "bicubic":
            small = imresize(sr, Fraction(1, scale), bits="float")
        else:
            small = blurred_down(sr, scale, self.sigma)
        return (small - lr).abs().mean()
