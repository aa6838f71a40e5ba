"""Write a report: JSON with everything, CSV with one value a line.

JSON has no infinity: the PSNR of equal images is the string "inf" there, and NaN is null.
"""

import csv
import math
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.evaluation.results import Report
from sr_experiments.files.writing import replacing, write_json

PACKAGES = (
    "sr-experiments",
    "torch",
    "torchvision",
    "numpy",
    "kornia",
    "lpips",
    "opencv-python-headless",
    "scikit-image",
)


def write_report_json(path: Path, report: Report) -> None:
    """Write the report as JSON, with the versions of the packages that the values depend on.

    Raises:
        SRError: the place can't be written to.
    """
    write_json(path, _plain({**asdict(report), "versions": {package: version(package) for package in PACKAGES}}))


def write_report_csv(path: Path, report: Report) -> None:
    """Write the values of all images as model, image, metric, value; errors as of `write_report_json`."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("model", "image", "metric", "value"))
        for result in report.results:
            for image, values in result.per_image.items():
                for metric, value in values.items():
                    writer.writerow((result.name, image, metric, value))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def check_place(path: Path) -> None:
    """Make the folder of a file to be written.

    Raises:
        SRError: it can't be made, or the file is a folder.
    """
    if path.is_dir():
        raise SRError(f"{path} is a folder: name a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SRError(f"cannot make the folder {path.parent} ({error.strerror}): choose another place") from error
