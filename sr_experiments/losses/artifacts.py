"""A loss where a GAN's artefacts are."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Odd
from sr_experiments.losses import LOSSES


@LOSSES.register("ldl")
class LDLLoss(nn.Module):
    """L1 where SR has artefacts (locally discriminative learning, Liang et al. 2022, arXiv 2203.09195).

    A pixel counts by the variance of the error |SR - HR| in the window around it, times the fifth root of the error's
    variance over the whole image. It doesn't count where the averaged network (`optim.ema_decay`) is further from HR
    than SR is: that is detail, not an artefact. The weights are taken as constant.

    Args:
        window: side of the window in pixels.
    """

    inputs = ("sr", "target", "sr_ema")

    def __init__(self, window: Odd[Annotated[int, Ge(3), Le(31)]] = 7) -> None:
        super().__init__()
        self.window = window

    def forward(self, sr: Tensor, hr: Tensor, sr_ema: Tensor) -> Tensor:
        """(N, C, H, W) three times to a scalar; `sr_ema` is made by the averaged weights."""
        return (self.weights(sr, hr, sr_ema) * (sr - hr)).abs().mean()

    @torch.no_grad()
    def weights(self, sr: Tensor, hr: Tensor, sr_ema: Tensor) -> Tensor:
        """Return the artefact map, (N, 1, H, W)."""
        error, error_ema = ((image.float() - hr.float()).abs().sum(1, keepdim=True) for image in (sr, sr_ema))
        windows = F.pad(error, (self.window // 2,) * 4, "reflect").unfold(2, self.window, 1).unfold(3, self.window, 1)
        local = windows.flatten(-2).var(-1)
        whole = error.flatten(1).var(-1).pow(1 / 5).view(-1, 1, 1, 1)
        return torch.where(error < error_ema, 0.0, whole * local)
