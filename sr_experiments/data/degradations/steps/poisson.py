"""Poisson numbers for 8-bit pixels, from a table and one random number per pixel instead of a search.

Walker's alias method (1977; table construction by Vose, 1991): the possible outcomes are spread over 256 slots, each
shared by at most two of them. A random slot and a random position within it select the outcome. The share of a slot
is stored with a precision of 2^-23.
"""

from functools import lru_cache

import numpy as np
import torch
from scipy.special import gammaln, xlogy
from torch import Tensor

SLOTS = 256  # covers 8 standard deviations on both sides of the largest mean, 256
EXPONENTS = range(9)
SHARES = 1 << 23


def poisson(levels: Tensor, exponent: Tensor, generator: torch.Generator) -> Tensor:
    """Draw photon counts, float32, of mean levels / 255 * 2^exponent.

    `levels` (N, C, H, W) are int32, 0 to 255, `exponent` (N,) whole numbers from 0 to 8; the generator can be on any
    device.
    """
    entries = table(levels.device)
    exponent = exponent.int()[:, None, None, None]
    drawn = torch.empty(levels.shape, dtype=torch.int32, device=generator.device).random_(generator=generator)
    drawn = drawn.to(levels.device)  # 31 random bits: the low 8 choose the slot, the other 23 the position within it
    slot = drawn & (SLOTS - 1)
    index = (levels + exponent * 256).mul_(SLOTS).add_(slot)
    entry = entries.index_select(0, index.flatten()).view_as(slot)
    outcome = torch.where(drawn.bitwise_right_shift_(8) < (entry >> 8), slot, entry.bitwise_and_(SLOTS - 1))
    return outcome.add_(first_count(levels, exponent)).float()


def first_count(levels: Tensor, exponent: Tensor) -> Tensor:
    """Return the count that slot 0 stands for: 0, or for means above 128 the mean minus half the number of slots."""
    # Only at the largest exponent is the mean (about the level) above 128; elsewhere the sum is never positive.
    offset = torch.where(exponent == EXPONENTS[-1], -SLOTS // 2, -255)
    return (levels + offset.to(levels.dtype)).clamp_(min=0)


@lru_cache
def table(device: torch.device) -> Tensor:
    """Return the alias table, (9 * 256 * SLOTS,), int32: a row of slots for every exponent and level.

    An entry is 256 * (share of the slot's own outcome, in units of 1/SHARES) + (slot of its other outcome).
    """
    exponents, levels = torch.arange(len(EXPONENTS))[:, None], torch.arange(256)
    means = (levels.double() / 255 * 2.0**exponents).flatten().numpy()  # (rows,)
    first = first_count(levels, exponents).flatten().numpy()
    counts = first[:, None] + np.arange(SLOTS)
    probability = np.exp(xlogy(counts, means[:, None]) - means[:, None] - gammaln(counts + 1))
    share, other = alias(probability / probability.sum(1, keepdims=True))
    # A share of 1 would overflow int32; a slot with one outcome has that as its other outcome too, so none is lost.
    own = np.minimum((share * SHARES).round().astype(np.int64), SHARES - 1)
    return torch.from_numpy((own * SLOTS + other).astype(np.int32).flatten()).to(device)


def alias(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Build alias tables of distributions (rows, slots), all rows at once.

    Returns:
        The share of each slot's own outcome, and the slot of its other outcome, (rows, slots) each.
    """
    rows, slots = np.arange(len(probability)), probability.shape[1]
    remaining = probability * slots  # probability of each outcome that is not yet in a slot; a slot holds 1
    share, other = np.ones_like(remaining), np.tile(np.arange(slots), (len(rows), 1))
    order = remaining.argsort(1)
    small, large = np.zeros(len(rows), dtype=int), (remaining < 1).sum(1)  # positions in `order`
    end, slot = large.copy(), order[:, 0]
    for _ in range(slots - 1):
        active = rows[(small < end) & (large < slots)]  # rows with a slot to fill and an outcome to fill it with
        own, donor = slot[active], order[active, large[active]]
        share[active, own], other[active, own] = remaining[active, own], donor
        remaining[active, donor] -= 1 - remaining[active, own]
        depleted = remaining[active, donor] < 1  # the donor no longer fills its own slot, which is next
        large[active] += depleted
        small[active] += ~depleted
        slot[active] = np.where(depleted, donor, order[active, np.minimum(small[active], slots - 1)])
    return share, other
