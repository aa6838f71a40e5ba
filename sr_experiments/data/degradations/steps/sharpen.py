"""Unsharp masking of HR, Real-ESRGAN's targets (arXiv 2107.10833, section 3.4; its `USMSharp`)."""

import numpy as np
import torch
from torch import Tensor

from sr_experiments.data.degradations.steps.canvas import mirror
from sr_experiments.data.resize import device_matrix

RADIUS = 25  # of the Gaussian's kernel: "radius 50" there, made odd, is its side of 51
SIGMA = 8.0  # OpenCV's for a side of 51: 0.3 * ((51 - 1) / 2 - 1) + 0.8


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
        hr = hr.float()
        residual = hr - _blurred(hr)
        mask = _blurred((residual.abs() * 255 > threshold).float())
        sharp = (hr + weight * residual).clamp(0, 1)
        return mask * sharp + (1 - mask) * hr


def _blurred(image: Tensor) -> Tensor:
    """Gaussian blur, mirrored at the border pixels' centres."""
    rows, columns = (device_matrix(gaussian_weights, (size,), image.device, torch.float32) for size in image.shape[-2:])
    return rows @ (image @ columns.T)


def gaussian_weights(size: int) -> np.ndarray:
    """Weights of every old pixel in every new one, (size, size), rows summing to 1."""
    taps = np.arange(-RADIUS, RADIUS + 1)
    kernel = np.exp(-(taps**2) / (2 * SIGMA**2))
    positions = torch.from_numpy(np.arange(size)[:, None] + taps)  # (size, taps)
    mirrored = mirror(positions.flatten(), torch.tensor([size]))[0].view(positions.shape).numpy()
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], mirrored), kernel / kernel.sum())
    return matrix
