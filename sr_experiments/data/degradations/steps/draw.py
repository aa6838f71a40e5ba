"""Random parameters of a batch, drawn on the CPU, and random pixels, drawn on the images' device."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def uniform(n: int, limits: Sequence[float], generator: torch.Generator) -> Tensor:
    """(n,) between two limits, float64."""
    low, high = limits
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


def chance(n: int, probability: float, generator: torch.Generator) -> Tensor:
    """(n,), each true with this probability."""
    return torch.rand(n, generator=generator, dtype=torch.float64) < probability


def choose(n: int, weights: Sequence[float], generator: torch.Generator) -> Tensor:
    """(n,) indices of the weights, each as probable as its weight's share of their sum."""
    bounds = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    drawn = torch.rand(n, generator=generator, dtype=torch.float64) * bounds[-1]
    return torch.searchsorted(bounds[:-1].contiguous(), drawn, right=True)


def normal(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal float32 values."""
    return torch.randn(*shape, generator=generator, device=generator.device).to(device)


def weights(given: Mapping[T, float], known: Sequence[T]) -> list[float]:
    """Return the weights of choices as a list in the order of `known`; 0 for those left out."""
    return [float(given.get(key, 0)) for key in known]
