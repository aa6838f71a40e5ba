"""Read files of `sr evaluate --json` for the page, with the paired differences between any two of their columns."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.evaluation.results import Difference, Report, Result, difference
from sr_experiments.runs.metrics import digits


def read_evaluation(path: Path) -> Report:
    """Read the report in a file; an SRError if it can't be read, or is none of `sr evaluate --json`."""
    try:
        content = json.loads(path.expanduser().read_text(encoding="utf-8"))
        results = [_build(Result, {**one, "mean": _numbers(one["mean"])}) for one in content["results"]]
        for result, one in zip(results, content["results"], strict=True):
            result.own_protocol = bool(one.get("own_protocol", one.get("own_ruler")))  # its name until 0.1
            result.per_image = {str(image): _numbers(values) for image, values in result.per_image.items()}
        differences = [_build(Difference, one) for one in content["differences"]]
        report: Report = _build(Report, {**content, "results": results, "differences": differences})
    except OSError as error:
        raise SRError(f"--evaluation {path}: {error.strerror}; check the path") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SRError(f"--evaluation {path}: not a file that sr evaluate --json writes") from error
    return report


def evaluation_section(path: Path) -> dict[str, Any]:
    """Return the section that the page shows for a file; errors as of `read_evaluation`."""
    report = read_evaluation(path)
    metrics = list(report.higher_is_better)
    return {
        "name": path.name,
        "unit": report.unit,
        "data": report.data,
        "conventions": {metric: report.conventions.get(metric, "") for metric in metrics},
        "higher": report.higher_is_better,
        "digits": {metric: digits(metric, [vars(report)]) for metric in metrics},
        "results": [{"name": result.name, "mean": _finite(result.mean)} for result in report.results],
        "images": list(report.results[0].per_image) if report.results else [],
        "values": {metric: [_values(result, metric) for result in report.results] for metric in metrics},
        "differences": {metric: _pairs(report.results, metric) for metric in metrics},
    }


def _pairs(results: Sequence[Result], metric: str) -> list[dict[str, Any]]:
    """Return the mean paired difference of each pair of columns, with its confidence interval."""
    pairs = []
    for (i, one), (j, against) in combinations(enumerate(results), 2):
        if found := difference(one, against, metric):
            shown = {key: getattr(found, key) for key in ("mean", "low", "high", "images")}
            pairs.append({"of": i, "against": j, **shown})
    return pairs


def _values(result: Result, metric: str) -> dict[str, float]:
    """Return the finite values of a metric by image."""
    return _finite({image: values[metric] for image, values in result.per_image.items() if metric in values})


def _build(kind: Any, content: dict[str, Any]) -> Any:
    """Build a dataclass from a mapping, without the keys that it does not have."""
    known = {one.name for one in fields(kind)}
    return kind(**{key: value for key, value in content.items() if key in known})


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """Parse numbers as `write_report_json` writes them: "inf" for infinity, null for NaN."""
    return {str(key): math.nan if value is None else float(value) for key, value in values.items()}


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in values.items() if math.isfinite(value)}
