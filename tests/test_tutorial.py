"""The tutorial, followed by copying its commands on a machine that has Python and pip alone: a quarter of an hour."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.tutorial
@pytest.mark.timeout(5400)
def test_its_commands_work_as_they_are_written(tmp_path):
    def run(*words: object, **variables: str) -> str:
        kept = {
            key: value
            for key, value in os.environ.items()
            if key not in ("SR_OFFLINE", "OMP_NUM_THREADS", "VIRTUAL_ENV")
        }
        done = subprocess.run(
            [str(word) for word in words], cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    pip = tmp_path / "venv/bin/pip"
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(pip, "wheel", "--no-deps", "-w", tmp_path, ROOT)
    [wheel] = tmp_path.glob("sr_experiments-*.whl")
    run(pip, "install", f"{wheel}[onnx]")
    path = f"{tmp_path / 'venv/bin'}:{os.environ['PATH']}"
    said = run(tmp_path / "venv/bin/python", ROOT / "docs/run_tutorial.py", tmp_path / "folder", PATH=path)
    assert re.search(r"all \d+ commands in [\d.]+ minutes", said)
    for made in ("outputs/first/*/samples/*/*.png", "degraded.png", "compare.html", "match_x4.mp4", "rocket_x4.png"):
        assert list((tmp_path / "folder").glob(made)), made
