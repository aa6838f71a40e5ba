"""How far a flow is from the true one."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric


class FlowEndPointError(Metric):
    """Mean Euclidean distance between estimated and true flow, in LR pixels, over all pixels of all frames.

    Args:
        crop_border: LR pixels cut from each side.
    """

    full_state_update = False
    higher_is_better = False
    total: Tensor
    count: Tensor

    def __init__(self, crop_border: int = 2) -> None:
        super().__init__()
        self.crop_border = crop_border
        self.convention = f"end-point error of the LR flow in LR pixels, crop {crop_border}, mean over frames"
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, flow: Tensor, true_flow: Tensor) -> None:
        """Take a batch in.

        Args:
            flow: (N, 2, H, W) in LR pixels.
            true_flow: (N, 2, scale * H, scale * W) in HR pixels.
        """
        scale = true_flow.shape[-1] // flow.shape[-1]
        b = self.crop_border
        error = (flow - F.avg_pool2d(true_flow.to(flow), scale) / scale).square().sum(1).sqrt()  # (N, H, W)
        error = error[:, b : error.shape[1] - b, b : error.shape[2] - b]
        self.total += error.double().mean((1, 2)).sum()
        self.count += len(error)

    def compute(self) -> Tensor:
        """The mean over all frames."""
        return self.total / self.count
