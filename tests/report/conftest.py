"""Run folders written by hand, with anything in them that a test needs, as training leaves them."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sr_experiments.config.quoting import BY_UV
from sr_experiments.display.pictures import labelled
from tests.report.browser import browser, visit  # noqa: F401
from tests.report.made import config_of, picture, rows_of


@pytest.fixture(autouse=True)
def _without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands on the page begin with `sr`, and not with `uv run sr`, however the tests were started."""
    monkeypatch.delenv(BY_UV, raising=False)


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """`run_folder("a", metrics={"val/s/psnr_y": [29, 30]})` writes a run into `<tmp>/outputs/a/2026-01-01_00-00-00`."""

    def write(
        name: str,
        config: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Sequence[float]] | None = None,
        summary: Mapping[str, Any] | None = None,
        strips: Mapping[str, int] | None = None,
        sr_seed: int = 1,
    ) -> Path:
        folder = tmp_path / "outputs" / name / "2026-01-01_00-00-00"
        (folder / "checkpoints").mkdir(parents=True)
        for checkpoint in ("last", "best"):
            (folder / "checkpoints" / f"{checkpoint}.ckpt").write_bytes(b"")
        (folder / "config.yaml").write_text(yaml.safe_dump(dict(config or config_of())))
        metrics = metrics or {"val/s/psnr_y": [29.0, 30.0], "val/s/psnr_y_bicubic": [28.0, 28.0]}
        with (folder / "metrics.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["step", "time", "metric", "value"], *rows_of(metrics)])
        last = {key: values[-1] for key, values in metrics.items() if key.startswith("val/")}
        told = {
            "state": "finished",
            "step": 100,
            "max_steps": 100,
            "seconds": 123.0,
            "final": last,
            "best": {"monitor": "val/s/psnr_y", "step": 100, "metrics": last},
            "parameters": 1234,
            **(summary or {}),
        }
        (folder / "summary.json").write_text(json.dumps(told))
        for strip, seed in (strips or {}).items():
            place = folder / "samples" / "step_00000100"
            place.mkdir(parents=True, exist_ok=True)
            seeds = {"lr": seed, "bicubic": seed + 1, "sr": 1000 + sr_seed, "hr": seed + 2}
            labelled({tile: picture(s) for tile, s in seeds.items()}).save(place / f"{strip}.png")
        return folder

    return write
