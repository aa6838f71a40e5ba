"""Warping by optical flow.

Conventions, here and everywhere in the project:

- Flow is backward flow in pixels, (N, 2, H, W), channel 0 to the right (dx) and channel 1 down (dy). For each pixel
  of a frame it is the offset to sample the previous frame at: `frame[y, x] = previous[y + dy, x + dx]`. Content
  that moves right by 3 pixels from one frame to the next has a flow of dx = -3.
- `warp` samples bilinearly, with coordinates clamped to the image (border padding), pixel centres at whole
  numbers (`align_corners=True` after normalisation).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample an image at displaced pixels, `result[y, x] = image[y + flow[1], x + flow[0]]`, bilinearly.

    Coordinates are clamped to the image. The image is (N, C, H, W), as is the result; flow is (N, 2, H, W) in pixels of
    the image, (dx, dy). Differentiable in both; with gradients enabled the result is NaN where the flow is not finite.
    """
    height, width = image.shape[-2:]
    # In float32 also under autocast: bf16 can't represent whole coordinates above 256.
    with torch.autocast(image.device.type, enabled=False):
        flow = flow.float()
        x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]  # (N, H, W)
        y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
        grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), -1)
        if not torch.is_grad_enabled():
            return F.grid_sample(image.float(), grid, padding_mode="border", align_corners=True)
        # With a NaN in the grid, forward would clamp it to some pixel and backward write anywhere in memory: keep it
        # out of the grid, and bring it back into the result.
        warped = F.grid_sample(image.float(), grid.nan_to_num(0.0), padding_mode="border", align_corners=True)
        return warped + 0 * flow.sum(1, keepdim=True)
