"""Losses on clips: the flow must predict the next LR frame, a clip must look the same in both directions of time."""

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor, nn

from sr_experiments.generators.warp import warp
from sr_experiments.losses import LOSSES
from sr_experiments.registry import Component, build

Criterion = Annotated[Mapping[str, Any], Component(LOSSES)]
CHARBONNIER = {"name": "charbonnier"}


@LOSSES.register("warp")
class WarpLoss(nn.Module):
    """Distance of each LR frame to the previous frame, warped by the estimated flow (Sajjadi et al. 2018, eq. 4).

    Args:
        criterion: the pixel loss that measures the distance, as `{"name": "charbonnier", "eps": 1e-6}`.
    """

    inputs = ("lr_clip", "flow")

    def __init__(self, criterion: Criterion = CHARBONNIER) -> None:
        super().__init__()
        self.criterion = build("criterion", LOSSES, criterion)

    def forward(self, lr_clip: Tensor, flow: Tensor) -> Tensor:
        """LR frames (N, T, C, H, W) and the flow (N, T - 1, 2, H, W) of frames 1 to T - 1, to a scalar."""
        previous, current = lr_clip[:, :-1].flatten(0, 1), lr_clip[:, 1:].flatten(0, 1)
        return self.criterion(warp(previous, flow.flatten(0, 1)), current)


@LOSSES.register("ping_pong")
class PingPongLoss(nn.Module):
    """Distance between the SR frames of the forward and the backward pass over a clip.

    Details that a recurrent network invents and lets drift differ between the two (Chu et al. 2020, arXiv 1811.09393,
    section 3.2).

    Args:
        criterion: the pixel loss that measures the distance, as `{"name": "charbonnier", "eps": 1e-6}`.
    """

    inputs = ("sr_clip",)
    palindrome = True  # clips are run to their end and back, T to 2 * T - 1 frames

    def __init__(self, criterion: Criterion = CHARBONNIER) -> None:
        super().__init__()
        self.criterion = build("criterion", LOSSES, criterion)

    def forward(self, sr_clip: Tensor) -> Tensor:
        """SR frames (N, 2 * T - 1, C, H, W), there and back, to a scalar."""
        length = sr_clip.shape[1] // 2 + 1
        there, back = sr_clip[:, : length - 1], sr_clip[:, length:].flip(1)
        return self.criterion(there.flatten(0, 1), back.flatten(0, 1))
