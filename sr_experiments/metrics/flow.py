"""How good the flow of a frame-recurrent network is, in LR."""

import torch.nn.functional as F
from torch import Tensor

from sr_experiments.metrics.metric import SRMetric
from sr_experiments.metrics.psnr import PSNR


class WarpedPSNR(PSNR):
    """PSNR on RGB of the LR frame before, warped by the flow, against the LR frame.

    Args:
        crop_border: LR pixels cut from each side: what moves into the frame there can't be warped from the one before.
    """

    needs_true_flow = False

    def __init__(self, crop_border: int = 2) -> None:
        super().__init__("rgb", crop_border)
        self.convention = "of the LR frame before, warped by the flow: " + self.convention


class FlowEndPointError(SRMetric):
    """Mean Euclidean distance between estimated and true flow, in LR pixels, over all pixels of all frames."""

    higher_is_better = False
    unit = "px"
    needs_true_flow = True

    def __init__(self, crop_border: int = 2) -> None:
        super().__init__()
        self.crop_border = crop_border
        self.convention = f"end-point error of the LR flow in LR pixels, crop {crop_border}, mean over frames"

    def update(self, flow: Tensor, true_flow: Tensor) -> None:
        """Add a batch: (N, 2, H, W) in LR pixels, and (N, 2, scale * H, scale * W) in HR pixels."""
        scale = true_flow.shape[-1] // flow.shape[-1]
        b = self.crop_border
        # Averaged to LR's resolution; divided, as a step of `scale` HR pixels is one of LR.
        error = (flow - F.avg_pool2d(true_flow.to(flow), scale) / scale).square().sum(1).sqrt()  # (N, H, W)
        error = error[:, b : error.shape[1] - b, b : error.shape[2] - b]
        self.total += error.double().mean((1, 2)).sum()
        self.count += len(error)


# By key. Those with `needs_true_flow` are measured on the validation sets that know it.
FLOW_METRICS: dict[str, type[WarpedPSNR] | type[FlowEndPointError]] = {
    "warp_psnr": WarpedPSNR,
    "flow_epe": FlowEndPointError,
}
