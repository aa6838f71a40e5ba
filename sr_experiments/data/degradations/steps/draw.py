"""Random draws: parameters of a batch, on the CPU, and random pixels, on the images' device."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sr_experiments.errors import SRError


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


def normal(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw standard normal float32 values of a shape."""
    # torch needs a generator on the device it draws on; the result then moves to the images.
    return torch.randn(*shape, generator=generator, device=generator.device).to(device)


# -- checks of configured values ---------------------------------------------------------------------------


def limits(name: str, value: Sequence[float], low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
    """Check a configured range: two ascending numbers within bounds.

    Raises:
        SRError: the value is not such a range; `name` is in the message.
    """
    try:
        first, last = (float(v) for v in value)
    except (TypeError, ValueError):
        raise SRError(f"{name} must be two numbers, [low, high], not {value!r}") from None
    if not low <= first <= last <= high:
        raise SRError(f"{name} must ascend within {low:g} ... {high:g}, not {first:g} ... {last:g}")
    return first, last


def probability(name: str, value: float) -> float:
    """Check a configured probability.

    Raises:
        SRError: the value is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise SRError(f"{name} must be between 0 and 1, not {value}")
    return value


def weights(name: str, value: Mapping[str, float], known: Sequence[str]) -> list[float]:
    """Check the configured weights of choices; return them in the order of `known`, 0 for those left out.

    Raises:
        SRError: unknown choice, negative weight, or no weight above 0.
    """
    for key, weight in value.items():
        if key not in known:
            raise SRError(f"unknown {name} {key!r}: choose from {', '.join(known)}")
        if weight < 0:
            raise SRError(f"the weight of {name} {key!r} is {weight}: give 0 or more")
    if not any(value.values()):
        raise SRError(f"{name} needs a choice with a weight above 0, of {', '.join(known)}")
    return [float(value.get(key, 0)) for key in known]
