"""The comparison of runs as one HTML page."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sr_experiments.display.pictures import ERROR_RANGE
from sr_experiments.metrics.baseline import baseline
from sr_experiments.report.comparison import OTHERS, WAY, Comparison, baselines_of
from sr_experiments.report.differences import MISSING, Setting, short_texts, value_text
from sr_experiments.report.html import html_page
from sr_experiments.report.media import Media
from sr_experiments.report.next_commands import next_commands
from sr_experiments.report.samples import clip_groups, picture_groups
from sr_experiments.report.studies import studies_of
from sr_experiments.runs.metrics import higher_is_better
from sr_experiments.runs.reading import Run
from sr_experiments.runs.series import thinned, training_hours

MOST_POINTS = 2000  # points of a curve
SCRIPTS = (
    "elements", "live", "table", "plots", "curves", "plane", "parallel", "study", "viewer", "pictures", "moving",
    "evaluation", "commands", "main",
)  # fmt: skip


def page(comparison: Comparison, evaluations: Sequence[Path] = (), pictures: int = 8, most_megabytes: int = 60) -> str:
    """Return the HTML, with files of `sr evaluate --json`, and so many validation crops.

    Pictures and clips have at most `most_megabytes` in all; the page says how many did not fit.

    Raises:
        SRError: a file of `evaluations` is none of `sr evaluate --json`.
    """
    return page_of(
        {**measured_content(comparison), **picture_content(comparison.runs, pictures, most_megabytes)}, evaluations
    )


def page_of(content: Mapping[str, Any], evaluations: Sequence[Path], live: bool = False) -> str:
    """Return the HTML of a content of `measured_content` and `picture_content`, and of files of `sr evaluate --json`.

    A `live` page may ask where it came from for what has changed since.

    Raises:
        SRError: a file of `evaluations` is none of `sr evaluate --json`.
    """
    from plotly.offline import get_plotlyjs

    sections = []
    if evaluations:
        from sr_experiments.report.evaluations import evaluation_section  # imports torch

        sections = [evaluation_section(path) for path in evaluations]

    return html_page("Runs side by side", SCRIPTS, {**content, "evaluations": sections}, get_plotlyjs(), live)


def picture_content(runs: Sequence[Run], pictures: int, most_megabytes: int, with_best: bool = False) -> dict[str, Any]:
    """Return the pictures of so many validation crops, and the clips, of each run's last validation.

    Args:
        runs: in the order of the page.
        pictures: number of crops.
        most_megabytes: size of all together.
        with_best: also those of each run's best checkpoint, where that is another one.
    """
    media = Media(most_megabytes * 1_000_000)
    return {
        "pictures": picture_groups(runs, media, pictures, with_best),
        "clips": clip_groups(runs, media),
        "media": media.uris,
        "mediaLeftOut": media.left_out,
    }


def measured_content(comparison: Comparison) -> dict[str, Any]:
    """Return all that the page shows of runs but pictures."""
    runs = [
        {
            **comparison.run_fields(number),
            "error": str(run.summary.get("error", "")),
            "device": str(run.summary.get("device", "")),
            "conventions": run.conventions(),
            "commands": next_commands(run),
        }
        for number, run in enumerate(comparison.runs)
    ]
    return {
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "runs": runs,
        "settings": [_setting(setting) for setting in comparison.settings],
        "baseline": baselines_of(comparison.runs),
        "metrics": comparison.metrics,
        "higher": comparison.higher_is_better,
        "digits": comparison.digits,
        "notes": comparison.notes,
        "curves": _curves(comparison),
        "errorRange": ERROR_RANGE,
        "studies": [asdict(study) for study in studies_of(comparison.runs)],
    }


def _setting(setting: Setting) -> dict[str, Any]:
    """Return a setting's values as texts and, where all are numbers, as numbers for sorting and plotting."""
    values = setting.values
    given = [value for value in values if value is not MISSING]
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in given)
    return {
        "key": setting.key,
        "label": setting.label,
        "also": setting.also,
        "texts": [value_text(value) for value in values],
        "short": short_texts(values),
        "numbers": [None if value is MISSING else value for value in values] if numeric and given else None,
    }


def _curves(comparison: Comparison) -> dict[str, Any]:
    """Return, by metric and run: steps, hours, values, and the value of the baseline where there is one."""
    curves: dict[str, dict[str, Any]] = {}
    summaries = [run.summary for run in comparison.runs]
    for number, run in enumerate(comparison.runs):
        hours = training_hours(run.series)
        for metric, series in run.series.items():
            if metric.endswith(tuple(f"_{other}" for other in OTHERS)) or WAY.fullmatch(metric):
                continue  # lines in the plot of the metric, and in the plane
            beside = run.series.get(f"{metric}_{baseline(run.scale)}")
            curve = curves.setdefault(metric, {"higher": higher_is_better(metric, summaries), "runs": {}})
            kept = thinned(series, MOST_POINTS)
            curve["runs"][str(number)] = {
                "steps": [series.steps[i] for i in kept],
                "hours": [round(hours[series.times[i]], 5) for i in kept],
                "values": [_short(series.values[i]) for i in kept],
                "baseline": _short(beside.values[-1]) if beside else None,
            }
    return curves


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
