"""What runs are and what they reached, side by side: the one table behind the page, the terminal and JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sr_experiments.report.differences import MISSING, Knob, differing
from sr_experiments.runs.reading import Run

MOST_DIGITS = 9  # of a value that is shown; a summary that says more is damaged
OTHERS = ("bicubic", "compared")  # suffixes of values that are not the trained network's


@dataclass(frozen=True)
class Measured:
    """A validation metric of a run.

    Attributes:
        best: of the best checkpoint; None where there is none, as for the rest.
        final: of the last validation.
        bicubic: on the same images.
        compared: of the network of `val.compare_with`.
    """

    best: float | None
    final: float | None
    bicubic: float | None
    compared: float | None

    @property
    def shown(self) -> float | None:
        """That of the best checkpoint, or as long as there is none the last."""
        return self.final if self.best is None else self.best


@dataclass
class Comparison:
    """Runs side by side.

    Attributes:
        runs: in the order given.
        knobs: settings in which they differ.
        metrics: keys `<set>/<metric>`, of all runs.
        measured: of each run, by metric.
        higher_is_better: by metric.
        digits: decimals that mean something, by metric.
        notes: what to know before comparing the values.
    """

    runs: list[Run]
    knobs: list[Knob]
    metrics: list[str]
    measured: list[dict[str, Measured]]
    higher_is_better: dict[str, bool]
    digits: dict[str, int]
    notes: list[str]

    def best(self, metric: str) -> set[int]:
        """Which runs have the best value, if there are several to choose from."""
        values = {i: of[metric].shown for i, of in enumerate(self.measured) if metric in of}
        known = {i: value for i, value in values.items() if value is not None}
        if len(known) < 2:
            return set()
        wanted = (max if self.higher_is_better[metric] else min)(known.values())
        return {i for i, value in known.items() if value == wanted}


def compare(runs: Sequence[Run]) -> Comparison:
    """Put runs side by side."""
    measured = [_measured(run) for run in runs]
    metrics = list(dict.fromkeys(metric for of in measured for metric in of))
    return Comparison(
        list(runs),
        differing([run.config for run in runs]) if len(runs) > 1 else [],
        metrics,
        measured,
        {metric: higher_is_better(metric, runs) for metric in metrics},
        {metric: digits(metric, [run.summary for run in runs]) for metric in metrics},
        _notes(runs, metrics, measured),
    )


def higher_is_better(metric: str, runs: Sequence[Run] = ()) -> bool:
    """Return whether a metric, `psnr_y` or `<set>/psnr_y`, grows as pictures get better, by the summaries of its runs.

    What no summary knows, such as losses, is better the lower it is, but for PSNR and SSIM of the first runs.
    """
    said = _said("higher_is_better", metric, [run.summary for run in runs])
    return said if isinstance(said, bool) else "psnr" in metric or "ssim" in metric


def digits(metric: str, summaries: Sequence[Mapping[str, Any]]) -> int:
    """Return the decimals of a metric, `psnr_y` or `<set>/psnr_y`; runs that say nothing of it are older than that."""
    said = _said("digits", metric, summaries)
    known = isinstance(said, int) and 0 <= said <= MOST_DIGITS
    return int(said) if known else 2 if "psnr" in metric else 4


def _said(field: str, metric: str, summaries: Sequence[Mapping[str, Any]]) -> Any:
    """Return what the first summary that knows a metric says of it, or None."""
    name = metric.rsplit("/", 1)[-1]
    fields = (summary.get(field) for summary in summaries)
    return next((said[name] for said in fields if isinstance(said, dict) and name in said), None)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison in plain types that JSON can hold."""
    rows = []
    for i, run in enumerate(comparison.runs):
        rows.append(
            {
                "name": run.name,
                "folder": str(run.folder),
                "state": run.state.state,
                "step": run.state.step,
                "max_steps": run.max_steps,
                "seconds": run.seconds,
                "samples_per_second": run.speed(),
                "parameters": run.summary.get("parameters"),
                "knobs": {k.key: None if k.values[i] is MISSING else k.values[i] for k in comparison.knobs},
                "best_step": run.best_step,
                "metrics": {metric: vars(value) for metric, value in comparison.measured[i].items()},
                "left_out": run.left_out(),
            }
        )
    return {"runs": rows, "higher_is_better": comparison.higher_is_better, "notes": comparison.notes}


def _measured(run: Run) -> dict[str, Measured]:
    best, final = run.best(), run.final()
    measured = {}
    for key in dict.fromkeys([*final, *best]):
        metric = key.removeprefix("val/")
        if metric.endswith(tuple(f"_{other}" for other in OTHERS)):
            continue
        others = (_finite(final.get(f"{key}_{other}", best.get(f"{key}_{other}"))) for other in OTHERS)
        measured[metric] = Measured(_finite(best.get(key)), _finite(final.get(key)), *others)
    return measured


def _notes(runs: Sequence[Run], metrics: Sequence[str], measured: Sequence[dict[str, Measured]]) -> list[str]:
    notes = []
    for metric in metrics:
        bicubic = [of[metric].bicubic for of in measured if metric in of]
        values = [value for value in bicubic if value is not None]
        if values and max(values) - min(values) > 1e-4 * max(map(abs, values)):
            notes.append(
                f"bicubic's {metric} is not the same in all runs ({min(values):.4g} to {max(values):.4g}): they were "
                "validated on other images or another degradation, so compare gains over bicubic, not values"
            )
            break
    conventions: dict[str, str] = {}
    for run in runs:
        for metric, convention in run.conventions().items():
            if conventions.setdefault(metric, convention) != convention:
                notes.append(f"{metric} is measured in different ways: {conventions[metric]!r} and {convention!r}")
    return list(dict.fromkeys(notes))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
