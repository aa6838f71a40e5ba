"""Poisson numbers for pixels of few levels: a table and one random number each, in place of a search.

Walker's alias method (1977; the table is made as Vose's, 1991): all that can come out lies in 256 slots, each shared
by at most two outcomes. A random slot and a random share of it choose between them. Shares are kept to 2^-23.
"""

from functools import lru_cache

import numpy as np
import torch
from scipy.special import gammaln, xlogy
from torch import Tensor

SLOTS = 256  # 8 sigma on both sides of the largest mean, 256
EXPONENTS = range(9)
SHARES = 1 << 23


def poisson(levels: Tensor, exponent: Tensor, generator: torch.Generator) -> Tensor:
    """Counted photons, where white counts 2^exponent on average.

    Args:
        levels: (N, C, H, W), int32, 0 to 255.
        exponent: (N,), whole numbers of 0 to 8.
        generator: on any device.

    Returns:
        (N, C, H, W), float32, of mean levels / 255 * 2^exponent.
    """
    entries = table(levels.device)
    exponent = exponent.int()[:, None, None, None]
    drawn = torch.empty(levels.shape, dtype=torch.int32, device=generator.device).random_(generator=generator)
    drawn = drawn.to(levels.device)  # 31 bits
    slot = drawn & (SLOTS - 1)
    places = (levels + exponent * 256).mul_(SLOTS).add_(slot)
    entry = entries.index_select(0, places.flatten()).view_as(slot)
    counted = torch.where(drawn.bitwise_right_shift_(8) < (entry >> 8), slot, entry.bitwise_and_(SLOTS - 1))
    return counted.add_(first_count(levels, exponent)).float()


def first_count(levels: Tensor, exponent: Tensor) -> Tensor:
    """The count that slot 0 stands for: 0, but for means above 128 half the slots less than the mean."""
    less = torch.where(exponent == EXPONENTS[-1], -SLOTS // 2, -255)
    return (levels + less.to(levels.dtype)).clamp_(min=0)


@lru_cache
def table(device: torch.device) -> Tensor:
    """For every exponent and level a row of slots, (9 * 256 * SLOTS,), int32.

    Each is 256 * the share of the slot's own outcome, in SHARES, + the slot of its other one.
    """
    exponents, levels = torch.arange(len(EXPONENTS))[:, None], torch.arange(256)
    means = (levels.double() / 255 * 2.0**exponents).flatten().numpy()  # (rows,)
    first = first_count(levels, exponents).flatten().numpy()
    counts = first[:, None] + np.arange(SLOTS)
    probability = np.exp(xlogy(counts, means[:, None]) - means[:, None] - gammaln(counts + 1))
    share, other = alias(probability / probability.sum(1, keepdims=True))
    own = np.minimum((share * SHARES).round().astype(np.int64), SHARES - 1)  # an only outcome is its own other one
    return torch.from_numpy((own * SLOTS + other).astype(np.int32).flatten()).to(device)


def alias(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of distributions (rows, slots): the share (rows, slots) of each slot's own outcome, and the slot of its other."""
    rows, slots = np.arange(len(probability)), probability.shape[1]
    rest = probability * slots  # of each outcome, not yet in a slot
    share, other = np.ones_like(rest), np.tile(np.arange(slots), (len(rows), 1))
    order = rest.argsort(1)
    small, large = np.zeros(len(rows), dtype=int), (rest < 1).sum(1)  # places in the order
    end, slot = large.copy(), order[:, 0]
    for _ in range(slots - 1):
        work = rows[(small < end) & (large < slots)]  # where there is a slot to fill, and something to fill it with
        own, giver = slot[work], order[work, large[work]]
        share[work, own], other[work, own] = rest[work, own], giver
        rest[work, giver] -= 1 - rest[work, own]
        emptied = rest[work, giver] < 1  # what is left of the giver is too little for its own slot, which is next
        large[work] += emptied
        small[work] += ~emptied
        slot[work] = np.where(emptied, giver, order[work, np.minimum(small[work], slots - 1)])
    return share, other
