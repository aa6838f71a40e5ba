"""The search space: from Hydra's sweep syntax to Optuna's distributions, and back to overrides."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from sr_experiments.errors import SRError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def search_space(overrides: Sequence[Override]) -> "tuple[dict[str, BaseDistribution], list[str]]":
    """Return the distributions by key, and the overrides that all trials share; the last override of a key counts.

    Choices are strings, as on the command line. An SRError for a sweep that can't be searched, or nothing to search.
    """
    space: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for override in overrides:
        key = override.get_key_element()
        space.pop(key, None)
        fixed.pop(key, None)
        if override.is_sweep_override():
            try:
                space[key] = _distribution(override)
            except ValueError as error:
                raise SRError(f"{override.input_line}: {error}") from error
        else:
            assert override.input_line is not None
            fixed[key] = override.input_line
    if not space:
        raise SRError(
            "nothing to search: give values to choose from, such as "
            "'optim.learning_rate=tag(log,interval(1e-5,1e-3))' or model.blocks=8,16"
        )
    return space, list(fixed.values())


def as_override(key: str, value: Any) -> str:
    """Return `key=value` for Hydra; a float keeps all its digits."""
    return f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}"


def example_overrides(space: "dict[str, BaseDistribution]") -> list[list[str]]:
    """Return the overrides of a few trials that contain every choice, and the low end of every range."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values: dict[str, list[Any]] = {}
    for key, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            values[key] = list(distribution.choices)
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            values[key] = [distribution.low]
    first = {key: choices[0] for key, choices in values.items()}
    others = [{**first, key: value} for key, choices in values.items() for value in choices[1:]]
    return [[as_override(key, value) for key, value in example.items()] for example in [first, *others]]


def _distribution(override: Override) -> "BaseDistribution":
    """Return the distribution of a sweep override; raises ValueError for one that can't be searched."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None and sweep.end is not None
        log = _log(sweep.tags)
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return IntDistribution(sweep.start, sweep.end, log=log)
        return FloatDistribution(float(sweep.start), float(sweep.end), log=log)
    if isinstance(sweep, RangeSweep):
        # As decimals: sums of floats miss the last value by a trifle, and Optuna then leaves it out.
        start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
        count, log = math.ceil((stop - start) / step), _log(sweep.tags)
        if count < 1:
            raise ValueError("there is nothing in this range")
        if log and abs(step) != 1:
            raise ValueError("with tag(log, ...) the step must be 1: use choice(...) or interval(...)")
        low, high = sorted((start, start + (count - 1) * step))
        if all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step)):
            return IntDistribution(int(low), int(high), step=int(abs(step)), log=log)
        return FloatDistribution(float(low), float(high), step=None if log else float(abs(step)), log=log)
    if not override.is_discrete_sweep():
        raise ValueError("this kind of sweep can't be searched: use interval, range or choice")
    # Strings and not parsed values: Hydra parses them again when the trial's job is composed.
    return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))


def _log(tags: set[str]) -> bool:
    """Return whether a sweep is tagged as logarithmic, tag(log, ...)."""
    if tags - {"log"}:
        raise ValueError(f"unknown tag {', '.join(sorted(tags - {'log'}))}: the only one is log")
    return "log" in tags
