"""Unsharp masking of HR for Real-ESRGAN's targets (arXiv 2107.10833, section 3.4; `USMSharp` in its code)."""

import torch
from torch import Tensor

from sr_experiments.data.degradations.blur_down import gaussian_weights
from sr_experiments.data.resize import device_matrix

RADIUS = 25  # radius of the Gaussian kernel: its side of 51 is USMSharp's "radius 50", made odd
THRESHOLD = 10.0  # smallest detail that is sharpened, on the scale of 0 to 255
STRIP = 32  # width in pixels of the strips that are blurred at a time on a CPU
SIGMA = 8.0  # OpenCV's default for a side of 51: 0.3 * ((51 - 1) / 2 - 1) + 0.8


@torch.no_grad()
def sharpen(hr: Tensor) -> Tensor:
    """Sharpen images (N, C, H, W) in [0, 1]: add half the detail that a wide Gaussian removes, where it is noticeable.

    The mask of this detail is blurred likewise.
    """
    with torch.autocast(hr.device.type, enabled=False):
        hr = hr.float().contiguous()
        # Three buffers are reused throughout: allocating fresh memory costs more than the arithmetic.
        buffer, residual, mask = (torch.empty_like(hr) for _ in range(3))
        torch.sub(hr, _blur(hr, buffer, residual), out=residual)
        torch.gt(torch.abs(residual, out=mask), THRESHOLD / 255, out=mask)
        _blur(mask, buffer, mask)
        sharp = residual.mul_(0.5).add_(hr).clamp_(0, 1)
        return sharp.sub_(hr).mul_(mask).add_(hr)


def _blur(image: Tensor, buffer: Tensor, out: Tensor) -> Tensor:
    """Blur an image with reflected borders into `out`; `buffer` holds the first pass. All are (N, C, H, W)."""
    rows, columns = (
        device_matrix(gaussian_weights, (size, 1, SIGMA, RADIUS), image.device, torch.float32)
        for size in image.shape[-2:]
    )
    if image.device.type != "cpu":
        torch.matmul(image, columns.T, out=buffer)
        return torch.matmul(rows, buffer, out=out)
    # The matrices are banded: a strip of result pixels depends only on the pixels within RADIUS of it.
    lines, blurred_lines = image.flatten(0, 2), buffer.flatten(0, 2)  # (N * C * H, W)
    for new, old in _strips(image.shape[3]):
        torch.mm(lines[:, old], columns[new, old].T, out=blurred_lines[:, new])
    for new, old in _strips(image.shape[2]):
        out[..., new, :] = rows[new, old] @ buffer[..., old, :]
    return out


def _strips(size: int) -> list[tuple[slice, slice]]:
    """Return strips of blurred pixels, each with the range of input pixels it depends on."""
    return [
        (slice(first, first + STRIP), slice(max(first - RADIUS, 0), first + STRIP + RADIUS))
        for first in range(0, size, STRIP)
    ]
