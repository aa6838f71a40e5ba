"""Random parameters of a batch, drawn on the CPU, and random pixels, drawn on the images' device."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sr_experiments.errors import SRError


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


# -- what a configuration may say --------------------------------------------------------------------------


def limits(name: str, value: Sequence[float], low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
    """A range of a configuration: two numbers, ascending, within bounds.

    Raises:
        SRError: they aren't; `name` says of what.
    """
    try:
        first, last = (float(v) for v in value)
    except (TypeError, ValueError):
        raise SRError(f"{name} must be two numbers, [low, high], not {value!r}") from None
    if not low <= first <= last <= high:
        raise SRError(f"{name} must ascend within {low:g} ... {high:g}, not {first:g} ... {last:g}")
    return first, last


def probability(name: str, value: float) -> float:
    """A probability of a configuration.

    Raises:
        SRError: it is none.
    """
    if not 0 <= value <= 1:
        raise SRError(f"{name} must be between 0 and 1, not {value}")
    return value


def weights(name: str, value: Mapping[str, float], known: Sequence[str]) -> list[float]:
    """Weights of choices in a configuration, by name, as a list in the order of `known`; 0 for those left out.

    Raises:
        SRError: unknown choice, negative weight, or none above 0.
    """
    for key, weight in value.items():
        if key not in known:
            raise SRError(f"unknown {name} {key!r}: choose of {', '.join(known)}")
        if weight < 0:
            raise SRError(f"the weight of {name} {key!r} is {weight}: 0 or more is possible")
    if not any(value.values()):
        raise SRError(f"{name} needs a choice with a weight above 0, of {', '.join(known)}")
    return [float(value.get(key, 0)) for key in known]
