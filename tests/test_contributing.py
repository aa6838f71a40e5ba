"""CONTRIBUTING.md followed to the letter: its files are written, its commands typed, in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.data import chelsea

from tests.conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = ("generator", "loss", "dataset", "metric")
FILE = re.compile(r"^`([\w/]+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Of each training command, so that it takes seconds: nothing that a recipe says.
QUICK = (
    "logger=none data.batch_size=2 trainer.accelerator=cpu trainer.max_steps=2 trainer.val_every=2 "
    "callbacks.samples.count=1 callbacks.samples.size=32"
)


def recipe(what: str) -> str:
    section = re.search(rf"^## Add a {what}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert section, what
    return section[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the files of all recipes, and a data set."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("sr_experiments", "hydra_plugins", "conf", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, copy)
    for what in RECIPES:
        files = FILE.findall(recipe(what))
        assert [Path(path).suffix for path, _ in files] == [".py", ".yaml"], (
            f"{what}: one Python file and one YAML file"
        )
        for path, content in files:
            assert not (copy / path).exists()
            (copy / path).parent.mkdir(exist_ok=True)
            (copy / path).write_text(content)
    for folder, image in (("HR", chelsea()[60:188, 100:228]), ("LRx4", chelsea()[60:92, 100:132])):
        (copy / "Set5" / folder).mkdir(parents=True)
        Image.fromarray(image).save(copy / "Set5" / folder / "butterfly.png")
    (copy / "bin").mkdir()
    (copy / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (copy / "bin" / "python").chmod(0o755)
    return copy


@pytest.fixture(scope="module")
def typed(project: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """`typed("sr upscale ...")` runs a command in the project, in a fork of a process that has imported everything."""
    zygote = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.zygote"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "COLUMNS": "200"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run_there(command: str) -> dict[str, Any]:
        words = subprocess.run(["sh", "-c", f"printf '%s\\0' {command}"], cwd=project, capture_output=True, text=True)
        argv = words.stdout.split("\0")[:-1]
        argv = argv[1:] if argv[0] == "python" else argv
        request = {"argv": argv, "cwd": str(project), "env": {}, "seconds": 70, "imports": []}
        assert zygote.stdin and zygote.stdout
        zygote.stdin.write(json.dumps(request) + "\n")
        zygote.stdin.flush()
        done: dict[str, Any] = json.loads(zygote.stdout.readline())
        assert done["code"] == 0, f"{command}\n{done['out'][-2000:]}\n{done['err'][-3000:]}"
        return done

    yield run_there
    zygote.kill()
    zygote.wait()


def run(project: Path, command: str) -> subprocess.CompletedProcess[str]:
    paths = {"PATH": f"{project / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(project), "COLUMNS": "200"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=project, env={**os.environ, **paths}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done


@pytest.mark.slow
@pytest.mark.parametrize("what", RECIPES)
def test_its_commands_work_as_written(project, typed, what):
    (project / "outputs").mkdir(exist_ok=True)
    [block] = COMMANDS.findall(recipe(what))
    for command in block.splitlines():
        if command.startswith("python train.py"):
            typed(f"{command} {QUICK}")
        else:
            typed(command)
    if what == "generator":
        assert Image.open(project / "butterfly.png").size == (128, 128)
    if what == "metric":
        summary = json.loads(next(project.glob("outputs/measured/*/summary.json")).read_text())
        assert summary["best"]["monitor"] == "val/sample/mine"
        assert 0 < summary["best"]["metrics"]["val/sample/mine"] < 255
        assert [summary[field]["mine"] for field in ("higher_is_better", "digits", "units")] == [False, 3, ""]
        hr = np.asarray(Image.open(project / "Set5/HR/butterfly.png")).astype(float)
        typed("sr evaluate --sr Set5/HR --hr Set5/HR --scale 4 --metric mine --json report.json --save saved")
        report = json.loads((project / "report.json").read_text())
        means = {result["name"]: result["mean"].get("mine") for result in report["results"]}
        bicubic = np.asarray(Image.open(project / "saved/bicubic/butterfly.png")).astype(float)
        assert means["bicubic"] == pytest.approx(np.abs(bicubic - hr)[4:-4, 4:-4].mean(), abs=1e-4)
        compared = json.loads(typed("sr compare outputs/measured/* --json")["out"])
        assert compared["higher_is_better"]["sample/mine"] is False
        sweep = "python train.py -m hydra/sweeper=optuna hydra.sweeper.objective=mine hydra.sweeper.n_trials=1"
        rates = "'optim.learning_rate=choice(1e-4,1e-3)' +metrics@metrics.mine=mine hydra.sweep.dir=sweep"
        typed(f"{sweep} {rates} {QUICK}")
        study = json.loads((project / "sweep/optuna.json").read_text())
        assert study["objectives"] == [{"name": "mine", "direction": "minimize"}]


@pytest.mark.slow
def test_the_shared_tests_find_what_was_added(project):
    done = run(project, "python -m pytest -n 0 -p no:cacheprovider tests/test_components.py -k mine")
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 6, done.stdout[-1000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('@GENERATORS.register("mine"', '@GENERATORS.register("mime"'),
        ("name: mine\nfeatures: 64", "name: mine\nfeature: 64"),
    ],
)
def test_a_wrong_text_is_noticed(project, tmp_path, right, wrong):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("outputs", "__pycache__"))
    places = [copy / path for path, _ in FILE.findall(recipe("generator"))]
    assert any(right in place.read_text() for place in places)
    for place in places:
        place.write_text(place.read_text().replace(right, wrong))
    with pytest.raises(AssertionError, match="mine"):
        run(copy, f"python train.py model=mine {QUICK}")
