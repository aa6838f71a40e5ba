"""Optical flow without weights: Lucas and Kanade (1981) on a pyramid of images.

A flow net needs many clips before it is exact to a fraction of an LR pixel, which is what details of a previous frame
are worth; this is so from the first step on, and for any content.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.generators.padding import replicate_pad
from sr_experiments.generators.warp import warp

# Of each level of the pyramid, from an eighth of the size to the whole, its steps: the radius in pixels of the box,
# applied twice, over which motion is taken to be equal.
LEVELS = ((3,), (3,), (3,), (2, 2))
DAMPING = 1e-3  # added to the sums of squared gradients, of values in [0, 1]: without texture there is no motion
LARGEST_STEP = 1.0  # pixels at each level, so 16 LR pixels in all


class LucasKanade(nn.Module):
    """In the place of a flow net: steps of Gauss and Newton from coarse to fine, each smoothed."""

    def forward(self, pair: Tensor) -> Tensor:
        """Current and previous frame (N, 2 * C, H, W), H and W multiples of 8, to flow (N, 2, H, W)."""
        with torch.autocast(pair.device.type, enabled=False):
            pyramid = [pair.detach().float()]
            for _ in LEVELS[1:]:
                pyramid.append(F.avg_pool2d(pyramid[-1], 2))
            flow = torch.zeros_like(pyramid[-1][:, :2])
            for radii in LEVELS:
                frame, previous = pyramid.pop().chunk(2, 1)
                if flow.shape[-2:] != frame.shape[-2:]:
                    flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
                for radius in radii:
                    flow = _box(flow + _step(frame, previous, flow, radius), 1)
        return flow


def _step(frame: Tensor, previous: Tensor, flow: Tensor, radius: int) -> Tensor:
    """Return what is to be added to the flow (N, 2, H, W), given both frames (N, C, H, W)."""
    warped = warp(previous, flow)
    change = warped - frame
    padded = replicate_pad((warped + frame) / 2, 1, 1, 1, 1)
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    products = torch.stack((dx * dx, dx * dy, dy * dy, dx * change, dy * change), 1).mean(2)  # over channels
    xx, xy, yy, xt, yt = _box(_box(products, radius), radius).split(1, 1)  # (N, 1, H, W) each
    xx, yy = xx + DAMPING, yy + DAMPING
    solution = torch.cat((xy * yt - yy * xt, xy * xt - xx * yt), 1) / (xx * yy - xy * xy)
    return solution.clamp(-LARGEST_STEP, LARGEST_STEP)


def _box(image: Tensor, radius: int) -> Tensor:
    """Return the means of (N, C, H, W) over squares, at the border of what is inside."""
    return F.avg_pool2d(image, 2 * radius + 1, 1, radius, count_include_pad=False)
