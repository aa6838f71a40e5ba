"""Unsharp masking of HR, Real-ESRGAN's targets (arXiv 2107.10833, section 3.4; its `USMSharp`)."""

import numpy as np
import torch
from torch import Tensor

from sr_experiments.data.degradations.steps.canvas import mirror
from sr_experiments.data.resize import device_matrix

RADIUS = 25  # of the Gaussian's kernel: "radius 50" there, made odd, is its side of 51
STRIP = 32  # pixels that are blurred at once on a CPU
SIGMA = 8.0  # OpenCV's for a side of 51: 0.3 * ((51 - 1) / 2 - 1) + 0.8


@torch.no_grad()
def sharpen(hr: Tensor, weight: float = 0.5, threshold: float = 10.0) -> Tensor:
    """Add `weight` of what a wide Gaussian takes away, around where it takes away more than `threshold` 255ths.

    Args:
        hr: (N, C, H, W) in [0, 1].
        weight: of the difference.
        threshold: in 255ths.

    Returns:
        (N, C, H, W) in [0, 1].
    """
    with torch.autocast(hr.device.type, enabled=False):
        hr = hr.float().contiguous()
        between, residual, mask = (torch.empty_like(hr) for _ in range(3))  # memory that is new takes time
        torch.sub(hr, _blur(hr, between, residual), out=residual)
        torch.gt(torch.abs(residual, out=mask), threshold / 255, out=mask)
        _blur(mask, between, mask)
        sharp = residual.mul_(weight).add_(hr).clamp_(0, 1)
        return sharp.sub_(hr).mul_(mask).add_(hr)


def _blur(image: Tensor, between: Tensor, out: Tensor) -> Tensor:
    """Gaussian blur, mirrored at the border pixels' centres, into `out`; both it and `between` are (N, C, H, W)."""
    rows, columns = (device_matrix(gaussian_weights, (size,), image.device, torch.float32) for size in image.shape[-2:])
    if image.device.type != "cpu":
        torch.matmul(image, columns.T, out=between)
        return torch.matmul(rows, between, out=out)
    # The matrices are zero but around their diagonals: a strip of pixels needs those around it alone.
    lines, blurred_lines = image.flatten(0, 2), between.flatten(0, 2)
    for new, old in _strips(image.shape[3]):
        torch.mm(lines[:, old], columns[new, old].T, out=blurred_lines[:, new])
    for new, old in _strips(image.shape[2]):
        out[..., new, :] = rows[new, old] @ between[..., old, :]
    return out


def _strips(size: int) -> list[tuple[slice, slice]]:
    """Strips of blurred pixels, each with the pixels that it is made of."""
    return [
        (slice(first, first + STRIP), slice(max(first - RADIUS, 0), first + STRIP + RADIUS))
        for first in range(0, size, STRIP)
    ]


def gaussian_weights(size: int) -> np.ndarray:
    """Weights of every old pixel in every new one, (size, size), rows summing to 1."""
    taps = np.arange(-RADIUS, RADIUS + 1)
    kernel = np.exp(-(taps**2) / (2 * SIGMA**2))
    positions = torch.from_numpy(np.arange(size)[:, None] + taps)  # (size, taps)
    mirrored = mirror(positions.flatten(), torch.tensor([size]))[0].view(positions.shape).numpy()
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], mirrored), kernel / kernel.sum())
    return matrix
