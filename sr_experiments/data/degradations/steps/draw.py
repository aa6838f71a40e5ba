"""Random draws of the parameters of a batch, on the CPU."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def uniform(n: int, limits: Sequence[float], generator: torch.Generator) -> Tensor:
    """Draw (n,) uniformly distributed numbers between two limits, float64."""
    low, high = limits
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


def chance(n: int, probability: float, generator: torch.Generator) -> Tensor:
    """Draw (n,) booleans, each true with this probability."""
    return torch.rand(n, generator=generator, dtype=torch.float64) < probability


def choose(n: int, weights: Sequence[float], generator: torch.Generator) -> Tensor:
    """Draw (n,) indices of the weights, with probabilities proportional to them."""
    bounds = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    drawn = torch.rand(n, generator=generator, dtype=torch.float64) * bounds[-1]
    return torch.searchsorted(bounds[:-1].contiguous(), drawn, right=True)


def weights(given: Mapping[T, float], known: Sequence[T]) -> list[float]:
    """Return the weights of choices as a list in the order of `known`; 0 for those left out."""
    return [float(given.get(key, 0)) for key in known]
