"""The exponential moving average of a generator's weights."""

import copy
from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def ema_copy(generator: N) -> N:
    """Return a frozen copy of `generator`, with the same state dict names, for `ema_update`."""
    return copy.deepcopy(generator).requires_grad_(False).eval()


@torch.no_grad()
def ema_update(ema: nn.Module, generator: nn.Module, decay: float, updates: int) -> None:
    """Update the average: `ema = d * ema + (1 - d) * weights`.

    The decay starts low, `d = min(decay, (1 + t) / (10 + t))` after `t` updates, so that the random initial weights do
    not hold a short run back; from about ten thousand updates on it is `decay`. Buffers (batch-norm statistics) are
    copied.

    Args:
        ema: the average, from `ema_copy`.
        generator: the network it follows.
        decay: weight of the past, 0.999 in the field's recipes.
        updates: number of updates before this one.
    """
    decay = min(decay, (1 + updates) / (10 + updates))
    torch._foreach_lerp_(list(ema.parameters()), list(generator.parameters()), 1 - decay)
    for mine, theirs in zip(ema.buffers(), generator.buffers(), strict=True):
        mine.copy_(theirs)
