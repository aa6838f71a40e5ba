"""A metric that is added as CONTRIBUTING.md says is measured, compared and searched for, in a copy of the project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import chelsea

from tests.conftest import ROOT, TINY_MODEL, TINY_RUN
from tests.test_contributing import METRIC

MINE = ["+metrics@metrics.mine=mine"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy = tmp_path / "project"
    for name in ("sr_experiments", "hydra_plugins", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", copy)
    (copy / "sr_experiments/metrics/mine.py").write_text(METRIC)
    (copy / "conf/metrics/mine.yaml").write_text("# Mean absolute error.\nname: mine\n")
    register = copy / "sr_experiments/metrics/__init__.py"
    register.write_text(f"{register.read_text()}\nfrom .mine import MineMetric\n\nMETRICS['mine'] = MineMetric\n")
    return copy


def run(project: Path, *command: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=project, env={**os.environ, "PYTHONPATH": str(project), "COLUMNS": "200"}, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_it_is_found_by_training_evaluation_comparison_and_sweeps(project: Path, tmp_path: Path) -> None:
    sr = ("-c", "from sr_experiments.cli import main; main()")

    tiny = ("train.py", *TINY_MODEL["msrresnet"], *TINY_RUN, *MINE)
    trained = run(project, *tiny, "trainer.monitor=mine", f"output_dir={tmp_path / 'runs'}")
    [folder] = tmp_path.glob("runs/*/*")
    summary = json.loads((folder / "summary.json").read_text())
    best = summary["best"]["metrics"]["val/sample/mine"]
    assert 0 < best < 255 and summary["best"]["monitor"] == "val/sample/mine"
    logged = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    assert best == min(float(value) for _, _, metric, value in logged[1:] if metric == "val/sample/mine")
    fields = ("conventions", "higher_is_better", "digits", "units")
    convention = "mean absolute error, 8-bit units, crop 4, mean over images"
    assert [summary[field]["mine"] for field in fields] == [convention, False, 3, ""]
    assert convention in trained.stderr and f" {best:.3f}" in trained.stderr

    (tmp_path / "hr").mkdir()
    hr = chelsea()[60:124, 100:164]
    Image.fromarray(hr).save(tmp_path / "hr/cat.png")
    arguments = ("-c", folder, "--hr", tmp_path / "hr", "--metric", "mine", "--json", tmp_path / "r.json")
    run(project, *sr, "evaluate", *arguments, "--save", tmp_path / "saved")
    report = json.loads((tmp_path / "r.json").read_text())
    measured = next(result["mean"]["mine"] for result in report["results"] if result["name"] == "bicubic")
    bicubic = np.asarray(Image.open(tmp_path / "saved/bicubic/cat.png")).astype(float)
    assert measured == pytest.approx(np.abs(bicubic - hr)[4:-4, 4:-4].mean(), abs=1e-4)
    assert [report[field]["mine"] for field in fields] == [convention, False, 3, ""]

    compared = json.loads(run(project, *sr, "compare", folder, "--json").stdout)
    assert compared["higher_is_better"]["sample/mine"] is False
    table = run(project, *sr, "compare", folder, "--table").stdout
    assert f"{best:.3f} (" in table

    rates = "optim.learning_rate=choice(1e-4,1e-3)"
    objective = ("hydra/sweeper=optuna", "hydra.sweeper.objective=mine", "hydra.sweeper.n_trials=1", rates)
    run(project, tiny[0], "-m", *tiny[1:], *objective, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    study = json.loads((tmp_path / "sweep/optuna.json").read_text())
    assert study["objectives"] == [{"name": "mine", "direction": "minimize"}]
    [job] = (tmp_path / "sweep").glob("*/summary.json")
    assert study["trials"][0]["values"] == [json.loads(job.read_text())["best"]["metrics"]["val/sample/mine"]]
