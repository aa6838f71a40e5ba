"""Blur kernels, computed in batches, each with its own shape and size.

The Gaussian, generalised Gaussian and plateau families and the sinc filter are those of Real-ESRGAN (Wang et al.
2021, arXiv 2107.10833, sections 3.1 and 3.3), as BasicSR computes them. All kernels are float64, on the CPU, of odd
side, sum to 1 (once `normalised`) and are symmetric about their centre, so none shifts the image.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def grid(side: int) -> tuple[Tensor, Tensor]:
    """Return coordinates x and y of a kernel's pixels, (side, side) each, 0 at the centre."""
    axis = torch.arange(side, dtype=torch.float64) - side // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x, y


def normalised(kernel: Tensor, size: Tensor | None = None) -> Tensor:
    """Return kernels (N, side, side) cropped to their own odd sizes (N,), each summing to 1."""
    if size is not None:
        x, y = grid(kernel.shape[-1])
        kernel = kernel * (torch.maximum(x.abs(), y.abs()) <= (size // 2)[:, None, None])
    return kernel / kernel.sum((1, 2), keepdim=True)


def elliptic_distance(sigma_x: Tensor, sigma_y: Tensor, angle: Tensor, side: int) -> Tensor:
    """Return squared distances from the centre, (N, side, side), in sigmas along axes rotated by `angle` radians."""
    x, y = grid(side)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    return (along / sigma_x[:, None, None]) ** 2 + (across / sigma_y[:, None, None]) ** 2


def gaussian(distance: Tensor, beta: Tensor) -> Tensor:
    """Return the generalised Gaussian of squared distances, unnormalised; beta (N,) = 1 is the Gaussian."""
    return (-0.5 * distance ** beta[:, None, None]).exp()


def plateau(distance: Tensor, beta: Tensor) -> Tensor:
    """Return 1 / (1 + distance^beta), unnormalised: a kernel that is flat in the middle."""
    return 1 / (1 + distance ** beta[:, None, None])


def sinc(cutoff: Tensor, side: int) -> Tensor:
    """Return the ideal circular low-pass filter, unnormalised; `cutoff` (N,) in radians per pixel, at most pi."""
    middle = side // 2
    x, y = (axis[middle:, middle:] for axis in grid(side))  # one quadrant; the others are reflections of it
    distance = (x**2 + y**2).sqrt().clamp(min=1e-12)
    cutoff = cutoff[:, None, None]
    quadrant = cutoff * torch.special.bessel_j1(cutoff * distance) / (2 * math.pi * distance)
    quadrant[:, 0, 0] = cutoff[:, 0, 0] ** 2 / (4 * math.pi)  # the limit at the centre, where the formula is 0 / 0
    index = (torch.arange(side) - middle).abs()
    return quadrant[:, index[:, None], index]


def motion(length: Tensor, angle: Tensor, side: int) -> Tensor:
    """Return a line of `length` (N,) pixels in direction `angle` (N,), one pixel wide, unnormalised."""
    x, y = grid(side)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    half = (length / 2)[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    beyond = (along.abs() - half).clamp(min=0)
    return (1 - (beyond**2 + across**2).sqrt()).clamp(min=0)


def disk(radius: Tensor, side: int) -> Tensor:
    """Return a disk of `radius` (N,) pixels with a soft edge one pixel wide, unnormalised."""
    x, y = grid(side)
    return (radius[:, None, None] + 0.5 - (x**2 + y**2).sqrt()).clamp(0, 1)


def pulse(n: int, side: int) -> Tensor:
    """Return identity kernels, (n, side, side)."""
    kernel = torch.zeros(n, side, side, dtype=torch.float64)
    kernel[:, side // 2, side // 2] = 1
    return kernel


def radius(kernel: Tensor, negligible: float) -> Tensor:
    """Return the radius (N,) of kernels (N, side, side) in pixels, ignoring outer weights of negligible sum."""
    side = kernel.shape[-1]
    x, y = grid(side)
    ring = torch.maximum(x.abs(), y.abs()).long().flatten()
    weights = kernel.new_zeros(len(kernel), side // 2 + 1).index_add_(1, ring, kernel.flatten(1).abs())
    outer = weights.flip(1).cumsum(1)  # (N, side // 2 + 1): weight from the edge of the kernel to each ring
    return (outer > negligible).sum(1) - 1


def where(applied: Tensor, kernel: Tensor) -> Tensor:
    """Return kernels (N, side, side), replaced by the identity where `applied` (N,) is false."""
    return torch.where(applied[:, None, None], kernel, pulse(*kernel.shape[:2]))
