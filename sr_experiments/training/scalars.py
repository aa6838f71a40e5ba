"""The scalars of training steps: kept on the device, since reading one at every step would wait for the device."""

import math
from typing import Any

import torch
from torch import Tensor

from sr_experiments.errors import NotFinite


class Scalars:
    """Scalars of the steps since the last check, on their device, and their values since the last log."""

    def __init__(self) -> None:
        self._unread: list[tuple[int, dict[str, Tensor]]] = []
        self._values: dict[str, list[float]] = {}

    def add(self, step: int, scalars: dict[str, Tensor]) -> None:
        """Keep the scalars of a step; the first step is 1."""
        self._unread.append((step, scalars))

    def check_finite(self, world_size: int = 1) -> None:
        """Read the scalars since the last check, with one device synchronisation, and check that all are finite.

        Args:
            world_size: number of processes, which all check at the same step and so stop together.

        Raises:
            NotFinite: a value is NaN or infinite; names it and its step.
        """
        unread = [
            (step, key, value.detach().float()) for step, scalars in self._unread for key, value in scalars.items()
        ]
        self._unread = []
        if not unread:
            return
        values = torch.stack([value for _, _, value in unread]).tolist()
        seen: dict[int, dict[str, float]] = {}
        bad: tuple[int, str, float] | None = None
        for (step, key, _), value in zip(unread, values, strict=True):
            seen.setdefault(step, {})[key] = value
            if bad is None and not math.isfinite(value):
                bad = step, key, value
        step, key, value = bad or (0, "", 0.0)
        if world_size > 1:
            # The first step with a bad value on any rank; the largest integer stands for none.
            first = torch.tensor([step or torch.iinfo(torch.long).max], device=unread[0][2].device)
            torch.distributed.all_reduce(first, torch.distributed.ReduceOp.MIN)
            if bad is None and int(first) in seen:
                step, key, value = int(first), "a loss of another process", math.nan
        if step:
            raise NotFinite(
                f"{key} became {value} at step {step}: lower optim.learning_rate, set optim.clip_norm=1, "
                "train with trainer.precision=32-true, or allow rollbacks with trainer.rollback.tries=3; "
                "the last good checkpoint is kept",
                step,
                key,
                seen,
            )
        for (_, key, _), value in zip(unread, values, strict=True):
            self._values.setdefault(key, []).append(value)

    def means(self) -> dict[str, float]:
        """Return the mean of every scalar over the checked steps since the last call."""
        means = {key: sum(values) / len(values) for key, values in self._values.items()}
        self._values = {}
        return means


def not_finite(named: dict[str, Any]) -> list[str]:
    """Return the names of tensors with NaN or infinite values, also inside dictionaries and lists."""
    return [name for name, tensor in _tensors("", named) if tensor.is_floating_point() and not tensor.isfinite().all()]


def _tensors(name: str, value: Any) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [found for key, item in inner for found in _tensors(f"{name}.{key}".lstrip("."), item)]
