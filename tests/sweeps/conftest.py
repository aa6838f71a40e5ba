"""`python train.py -m` in this process."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY_RUN, Outcome

TINY = ["model.features=8", "model.blocks=1", *TINY_RUN]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Outcome]:
    """`sweep("model=srresnet,msrresnet", ...)` runs tiny jobs in `tmp_path / "sweep"`."""

    def run(*arguments: str) -> Outcome:
        given = ["-m", *TINY, f"hydra.sweep.dir={tmp_path / 'sweep'}", *arguments]
        monkeypatch.setattr(sys, "argv", ["train.py", *given])
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        code = 0
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capfd.readouterr()
        return Outcome(code, said.out, said.err)

    return run
