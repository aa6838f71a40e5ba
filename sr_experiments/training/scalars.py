"""What training steps report, looked at now and then: to wait for the device at every step would cost time."""

import math
from typing import Any

import torch
from torch import Tensor

from sr_experiments.errors import NotFinite


class Scalars:
    """The scalars of the steps since the last look, on their device, and the values since the last log."""

    def __init__(self) -> None:
        self._fresh: list[tuple[int, dict[str, Tensor]]] = []
        self._values: dict[str, list[float]] = {}

    def add(self, step: int, scalars: dict[str, Tensor]) -> None:
        """Keep those of a step; the first step is 1."""
        self._fresh.append((step, scalars))

    def look(self, world_size: int = 1) -> None:
        """Look at the scalars since the last look; one device synchronisation.

        Args:
            world_size: processes, which all look at the same step and stop together.

        Raises:
            NotFinite: a value is NaN or infinite; says which and at which step.
        """
        fresh = [(step, key, value.detach().float()) for step, scalars in self._fresh for key, value in scalars.items()]
        self._fresh = []
        if not fresh:
            return
        values = torch.stack([value for _, _, value in fresh]).tolist()
        seen: dict[int, dict[str, float]] = {}
        bad: tuple[int, str, float] | None = None
        for (step, key, _), value in zip(fresh, values, strict=True):
            seen.setdefault(step, {})[key] = value
            if bad is None and not math.isfinite(value):
                bad = step, key, value
        step, key, value = bad or (0, "", 0.0)
        if world_size > 1:
            first = torch.tensor([step or torch.iinfo(torch.long).max], device=fresh[0][2].device)
            torch.distributed.all_reduce(first, torch.distributed.ReduceOp.MIN)
            if bad is None and int(first) in seen:
                step, key, value = int(first), "a loss of another process", math.nan
        if step:
            raise NotFinite(
                f"{key} became {value} at step {step}: lower optim.learning_rate, set optim.clip_norm=1, "
                "train with trainer.precision=32-true, or let it go back with trainer.rollback.tries=3; "
                "the last good checkpoint is kept",
                step,
                key,
                seen,
            )
        for (_, key, _), value in zip(fresh, values, strict=True):
            self._values.setdefault(key, []).append(value)

    def means(self) -> dict[str, float]:
        """Mean of every scalar over the steps since the last call, as far as they were looked at."""
        means = {key: sum(values) / len(values) for key, values in self._values.items()}
        self._values = {}
        return means


def not_finite(named: dict[str, Any]) -> list[str]:
    """Names of the tensors that hold NaN or infinite values, also within dictionaries and lists."""
    return [name for name, tensor in _tensors("", named) if tensor.is_floating_point() and not tensor.isfinite().all()]


def _tensors(name: str, of: Any) -> list[tuple[str, Tensor]]:
    if isinstance(of, Tensor):
        return [(name, of)]
    inner = of.items() if isinstance(of, dict) else enumerate(of) if isinstance(of, list | tuple) else ()
    return [found for key, value in inner for found in _tensors(f"{name}.{key}".lstrip("."), value)]
