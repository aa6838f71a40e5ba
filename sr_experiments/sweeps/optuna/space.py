"""What is searched, from Hydra's way to write sweeps to Optuna's distributions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from sr_experiments.errors import SRError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def search_space(overrides: Sequence[Override]) -> "tuple[dict[str, BaseDistribution], list[str]]":
    """Distributions by key, and the overrides that are the same for all trials. Of two for a key the last counts.

    Choices are texts, as they stand on the command line.

    Raises:
        SRError: a sweep that can't be searched, or nothing to search.
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


def written(key: str, value: Any) -> str:
    """A value as an override."""
    return f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}"


def examples(space: "dict[str, BaseDistribution]") -> list[list[str]]:
    """Overrides that between them contain every choice once, and the smallest of every range."""
    from optuna.distributions import CategoricalDistribution

    values = {
        key: list(of.choices) if isinstance(of, CategoricalDistribution) else [of.low]  # type: ignore[attr-defined]
        for key, of in space.items()
    }
    first = {key: of[0] for key, of in values.items()}
    others = [{**first, key: value} for key, of in values.items() for value in of[1:]]
    return [[written(key, value) for key, value in one.items()] for one in [first, *others]]


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None and sweep.end is not None
        log = _log(sweep.tags)
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return IntDistribution(sweep.start, sweep.end, log=log)
        return FloatDistribution(float(sweep.start), float(sweep.end), log=log)
    if isinstance(sweep, RangeSweep):
        values = [value if isinstance(value, int) else float(value) for value in sweep.range()]
        if not values:
            raise ValueError("there is nothing in this range")
        step, log = abs(sweep.step), _log(sweep.tags)
        if log and step != 1:
            raise ValueError("with tag(log, ...) the step must be 1: use choice(...) or interval(...)")
        if all(isinstance(value, int) for value in values):
            return IntDistribution(int(min(values)), int(max(values)), step=int(step), log=log)
        return FloatDistribution(min(values), max(values), step=None if log else float(step), log=log)
    if not override.is_discrete_sweep():
        raise ValueError("this kind of sweep can't be searched: use interval, range or choice")
    return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))


def _log(tags: set[str]) -> bool:
    if tags - {"log"}:
        raise ValueError(f"unknown tag {', '.join(sorted(tags - {'log'}))}: the only one is log")
    return "log" in tags
