"""Compare runs: their settings and metrics, as shown by the page, the terminal table and JSON."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sr_experiments.metrics.baseline import BASELINES, baseline
from sr_experiments.report.differences import Setting, differing
from sr_experiments.runs.metrics import digits, higher_is_better
from sr_experiments.runs.reading import Run

OTHERS = (*BASELINES, "compared")  # metric suffixes of other methods than the trained network
# Metric suffixes of the ways of sampling that a flow was validated in, see `training.validation.ways_to_validate`.
WAY = re.compile(r"(.+)_((?:steps|strength)[\d.]+)")


@dataclass(frozen=True)
class Measured:
    """A validation metric of a run. Each value is None where there is none."""

    best: float | None  # value at the best checkpoint
    final: float | None  # value at the last validation
    baseline: float | None  # value of bicubic enlargement, at scale 1 of the input, on the same images
    compared: float | None  # value of the network of `val.compare_with`

    @property
    def shown(self) -> float | None:
        """Value at the best checkpoint; before there is one, the last value."""
        return self.final if self.best is None else self.best


@dataclass
class Comparison:
    """Runs side by side."""

    runs: list[Run]  # the runs, in the order given
    settings: list[Setting]  # settings in which they differ
    metrics: list[str]  # keys `<set>/<metric>` of all runs
    measured: list[dict[str, Measured]]  # values of each run, by metric
    ways: list[dict[str, dict[str, float]]]  # of each run that is a flow: by metric, values by way, as `steps8`
    higher_is_better: dict[str, bool]  # direction of each metric
    digits: dict[str, int]  # decimals of each metric
    notes: list[str]  # warnings about values that can't be compared

    def run_fields(self, index: int) -> dict[str, Any]:
        """Return what JSON and the page show of a run, besides its settings, in plain types."""
        run = self.runs[index]
        return {
            "name": run.name,
            "folder": str(run.folder),
            "state": run.state.state,
            "step": run.state.step,
            "max_steps": run.max_steps,
            "seconds": run.seconds,
            "samples_per_second": run.speed(),
            "parameters": run.parameters,
            "best_step": run.best_step,
            "baseline": baseline(run.scale),
            "metrics": {metric: vars(value) for metric, value in self.measured[index].items()},
            "ways": self.ways[index],
            "left_out": run.left_out(),
            "changes": [asdict(change) for change in run.changes],
        }

    def best(self, metric: str) -> set[int]:
        """Return the indices of the runs with the best value; empty where fewer than two have one."""
        values = {i: measured[metric].shown for i, measured in enumerate(self.measured) if metric in measured}
        known = {i: value for i, value in values.items() if value is not None}
        if len(known) < 2:
            return set()
        best = (max if self.higher_is_better[metric] else min)(known.values())
        return {i for i, value in known.items() if value == best}


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs."""
    measured = [_measured(run) for run in runs]
    metrics = list(dict.fromkeys(metric for values in measured for metric in values))
    return Comparison(
        list(runs),
        differing([run.config for run in runs]) if len(runs) > 1 else [],
        metrics,
        measured,
        [_ways(run) for run in runs],
        {metric: higher_is_better(metric, [run.summary for run in runs]) for metric in metrics},
        {metric: digits(metric, [run.summary for run in runs]) for metric in metrics},
        _notes(runs, metrics, measured),
    )


def _measured(run: Run) -> dict[str, Measured]:
    best, final = run.best(), run.final()
    measured = {}
    for key in dict.fromkeys([*final, *best]):
        metric = key.removeprefix("val/")
        if metric.endswith(tuple(f"_{other}" for other in OTHERS)) or WAY.fullmatch(metric):
            continue
        beside = (f"{key}_{other}" for other in (baseline(run.scale), "compared"))
        others = (_finite(final.get(other, best.get(other))) for other in beside)
        measured[metric] = Measured(_finite(best.get(key)), _finite(final.get(key)), *others)
    return measured


def _ways(run: Run) -> dict[str, dict[str, float]]:
    """Return the values of a flow's further ways of sampling at its best checkpoint, by metric and way."""
    ways: dict[str, dict[str, float]] = {}
    for key, value in (run.best() or run.final()).items():
        if (match := WAY.fullmatch(key.removeprefix("val/"))) and math.isfinite(value):
            ways.setdefault(match[1], {})[match[2]] = value
    return ways


def baselines_of(runs: Sequence[Run]) -> str:
    """Return the name of the runs' baseline, or names: "bicubic", "input" or "bicubic or input"."""
    return " or ".join(sorted({baseline(run.scale) for run in runs}))


def _notes(runs: Sequence[Run], metrics: Sequence[str], measured: Sequence[dict[str, Measured]]) -> list[str]:
    notes, beside = [], baselines_of(runs)
    for metric in metrics:
        baselines = [values_of[metric].baseline for values_of in measured if metric in values_of]
        values = [value for value in baselines if value is not None]
        # Devices and library versions round differently, so equal means nearly equal.
        if values and max(values) - min(values) > 1e-4 * max(map(abs, values)):
            notes.append(
                f"{beside}'s {metric} is not the same in all runs ({min(values):.4g} to {max(values):.4g}): they were "
                f"validated on other images or another degradation, so compare gains over {beside}, not values"
            )
            break
    for run in runs:
        bad = [key.removeprefix("val/") for key, value in run.final().items() if not math.isfinite(value)]
        if bad:
            notes.append(f"{run.name}: no finite number at the last validation: {', '.join(bad)}")
    # Two conventions of the same metric, such as another crop, give values that can't be compared.
    conventions: dict[str, str] = {}
    for run in runs:
        for metric, convention in run.conventions().items():
            if conventions.setdefault(metric, convention) != convention:
                notes.append(f"{metric} is measured in different ways: {conventions[metric]!r} and {convention!r}")
    for run in runs:
        if run.changes:
            notes.append(f"{run.name} was resumed with other settings: {'; '.join(map(str, run.changes))}")
        if why := next((why for what, why in run.left_out().items() if what == "adversarial loss"), ""):
            notes.append(f"{run.name} has no GAN health, for it trained no GAN: adversarial loss: {why}")
    return list(dict.fromkeys(notes))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
