"""Blur kernels, a batch of them at a time, each with its own shape and size.

The Gaussian, generalised Gaussian and plateau families and the sinc filter are those of Real-ESRGAN (Wang et al.
2021, arXiv 2107.10833, sections 3.1 and 3.3), as BasicSR computes them. All kernels are float64, on the CPU, of
odd side, sum to 1 and are symmetric about their centre: none moves the picture.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def grid(side: int) -> tuple[Tensor, Tensor]:
    """Coordinates x and y, (side, side) each, of a kernel's pixels, 0 at its centre."""
    axis = torch.arange(side, dtype=torch.float64) - side // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x, y


def normalised(kernel: Tensor, size: Tensor | None = None) -> Tensor:
    """Kernels (N, side, side) cut to their own odd sizes (N,), each summing to 1."""
    if size is not None:
        x, y = grid(kernel.shape[-1])
        kernel = kernel * (torch.maximum(x.abs(), y.abs()) <= (size // 2)[:, None, None])
    return kernel / kernel.sum((1, 2), keepdim=True)


def elliptic_distance(sigma_x: Tensor, sigma_y: Tensor, angle: Tensor, side: int) -> Tensor:
    """(N, side, side): squared distance from the centre, in sigmas along axes turned by `angle` (N,), in radians."""
    x, y = grid(side)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    return (along / sigma_x[:, None, None]) ** 2 + (across / sigma_y[:, None, None]) ** 2


def gaussian(distance: Tensor, beta: Tensor) -> Tensor:
    """Generalised Gaussian of squared distances (N, side, side); beta (N,) = 1 is the Gaussian. Not normalised."""
    return (-0.5 * distance ** beta[:, None, None]).exp()


def plateau(distance: Tensor, beta: Tensor) -> Tensor:
    """1 / (1 + distance^beta): flat in the middle. Not normalised."""
    return 1 / (1 + distance ** beta[:, None, None])


def sinc(cutoff: Tensor, side: int) -> Tensor:
    """The ideal circular low-pass filter, which rings; `cutoff` (N,) in radians a pixel, pi at most. Not normalised."""
    middle = side // 2
    x, y = (axis[middle:, middle:] for axis in grid(side))  # a quarter, the others are like it
    radius = (x**2 + y**2).sqrt().clamp(min=1e-12)
    cutoff = cutoff[:, None, None]
    quarter = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    quarter[:, 0, 0] = cutoff[:, 0, 0] ** 2 / (4 * math.pi)
    places = (torch.arange(side) - middle).abs()
    return quarter[:, places[:, None], places]


def motion(length: Tensor, angle: Tensor, side: int) -> Tensor:
    """A straight, even movement of `length` (N,) pixels in direction `angle`, a pixel wide. Not normalised."""
    x, y = grid(side)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    half = (length / 2)[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    beyond = (along.abs() - half).clamp(min=0)
    return (1 - (beyond**2 + across**2).sqrt()).clamp(min=0)


def disk(radius: Tensor, side: int) -> Tensor:
    """What a lens out of focus makes of a point: a disk of `radius` (N,) pixels, its edge a pixel soft."""
    x, y = grid(side)
    return (radius[:, None, None] + 0.5 - (x**2 + y**2).sqrt()).clamp(0, 1)


def pulse(n: int, side: int) -> Tensor:
    """Kernels that change nothing, (N, side, side)."""
    kernel = torch.zeros(n, side, side, dtype=torch.float64)
    kernel[:, side // 2, side // 2] = 1
    return kernel


def by_kind(kernel: Tensor, *kinds: tuple[Tensor, Callable[[Tensor], Tensor]]) -> Tensor:
    """Kernels (N, side, side) with those of every kind, a mask (N,), replaced by what it makes for their indices."""
    for mask, make in kinds:
        images = mask.nonzero()[:, 0]
        if len(images):
            kernel[images] = make(images)
    return kernel


def reach(kernel: Tensor, negligible: float) -> Tensor:
    """(N,): how far from their centres kernels (N, side, side) go, in pixels, but for a negligible sum of weights."""
    side = kernel.shape[-1]
    x, y = grid(side)
    ring = torch.maximum(x.abs(), y.abs()).long().flatten()
    weights = kernel.new_zeros(len(kernel), side // 2 + 1).index_add_(1, ring, kernel.flatten(1).abs())
    beyond = weights.flip(1).cumsum(1)  # what a kernel has from its edge to a ring
    return (beyond > negligible).sum(1) - 1


def where(applied: Tensor, kernel: Tensor) -> Tensor:
    """Kernels (N, side, side), where `applied` (N,) is false those that change nothing."""
    return torch.where(applied[:, None, None], kernel, pulse(*kernel.shape[:2]))
