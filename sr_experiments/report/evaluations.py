"""Files of `sr evaluate --json`, and the differences between any two columns of one, image by image."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.evaluation.results import Difference, Report, Result, difference
from sr_experiments.report.comparison import digits


def read_evaluation(path: Path) -> Report:
    """The report that a file holds.

    Raises:
        SRError: it can't be read, or holds something else.
    """
    try:
        content = json.loads(path.expanduser().read_text(encoding="utf-8"))
        results = [_made(Result, {**one, "mean": _numbers(one["mean"])}) for one in content["results"]]
        for result, one in zip(results, content["results"], strict=True):
            result.own_protocol = bool(one.get("own_protocol", one.get("own_ruler")))  # its name until 0.1
            result.per_image = {str(image): _numbers(of) for image, of in result.per_image.items()}
        differences = [_made(Difference, one) for one in content["differences"]]
        report: Report = _made(Report, {**content, "results": results, "differences": differences})
    except OSError as error:
        raise SRError(f"--evaluation {path}: {error.strerror}; check the path") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SRError(f"--evaluation {path}: not a file that sr evaluate --json writes") from error
    return report


def evaluation_section(path: Path) -> dict[str, Any]:
    """What the page shows of a file; errors as of `read_evaluation`."""
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
        "values": {metric: [_of(result, metric) for result in report.results] for metric in metrics},
        "differences": {metric: _pairs(report.results, metric) for metric in metrics},
    }


def _pairs(results: Sequence[Result], metric: str) -> list[dict[str, Any]]:
    """Mean paired differences with their intervals, of each pair once."""
    pairs = []
    for i, one in enumerate(results):
        for j, against in enumerate(results):
            found = difference(one, against, metric) if i < j else None
            if found is not None:
                pairs.append({"of": i, "against": j, "mean": found.mean, "low": found.low, "high": found.high,
                              "images": found.images})  # fmt: skip
    return pairs


def _of(result: Result, metric: str) -> dict[str, float]:
    return _finite({image: of[metric] for image, of in result.per_image.items() if metric in of})


def _made(kind: Any, content: dict[str, Any]) -> Any:
    known = {one.name for one in fields(kind)}
    return kind(**{key: value for key, value in content.items() if key in known})


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """As written by `write_report_json`: "inf" for infinity, null for what is not a number."""
    return {str(key): math.nan if value is None else float(value) for key, value in values.items()}


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in values.items() if math.isfinite(value)}
