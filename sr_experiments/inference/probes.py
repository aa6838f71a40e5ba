"""What is found out about a network by running it: how far it looks, and how much memory it takes."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from sr_experiments.inference.tiles import ALIGNMENT

LARGEST_FIELD = 64  # LR pixels


@torch.inference_mode()
def receptive_radius(run: Callable[[Tensor], Tensor], channels: int, scale: int) -> int | None:
    """Measure from what distance, in LR pixels, an output pixel depends on the input.

    A NaN in the input turns exactly those output pixels that depend on it into NaN. `run` maps LR (1, channels, H, W)
    to SR on the CPU.

    Returns:
        None if the distance is larger than LARGEST_FIELD, unbounded, or NaNs don't reach the output.
    """
    probe = torch.full((1, channels, ALIGNMENT, 2 * LARGEST_FIELD + 3 * ALIGNMENT), 0.5)
    centre = LARGEST_FIELD + ALIGNMENT
    probe[..., centre] = torch.nan
    columns = run(probe).isnan().any(1).any(1)[0].nonzero()  # those with a NaN
    if not len(columns):
        return None
    first, last = int(columns.min()) // scale, int(columns.max()) // scale
    radius = max(centre - first, last - centre)
    return radius if radius <= LARGEST_FIELD else None


class LiveBytes(TorchFunctionMode):
    """Count the bytes of the storages that operations in this context allocate, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                key = storage._cdata
                if key not in self.known and key not in given:
                    self.known[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, key)
        return result

    def _gone(self, key: int) -> None:
        self.now -= self.known.pop(key, 0)
