"""What `sr compare` says of a sweep that Optuna made."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sr_experiments.packages.extras import install_extra
from sr_experiments.report.command import write_page
from sr_experiments.report.studies import studies_of
from sr_experiments.runs.reading import read_run
from tests.conftest import Outcome
from tests.report.made import config_of, study_of

pytest.importorskip("optuna")
Make = Callable[..., Path]


def studies(folder: Path, count: int) -> list:
    return studies_of([read_run(folder / str(number), str(number)) for number in range(count)])


@pytest.fixture
def swept(run_folder: Make, tmp_path: Path) -> Callable[[int, int], Path]:
    """`swept(12, 1)` makes a sweep of 12 trials: what `decides` says counts, what `noise` says doesn't."""

    def make(count: int, objectives: int) -> Path:
        folder = tmp_path / "sweep"
        folder.mkdir()
        for number in range(count):
            made = run_folder(f"run{number}", config_of(f"run{number}", features=number))
            shutil.move(made, folder / str(number))
        study_of(folder, count, objectives)
        return folder

    return make


def test_the_setting_that_decides_is_found(swept: Callable[..., Path], sr: Callable[..., Outcome]) -> None:
    folder = swept(20, 1)
    [study] = studies(folder, 20)
    [importance] = study.importances
    assert list(importance.shares) == ["decides", "noise"]
    assert importance.shares["decides"] > 0.7 and sum(importance.shares.values()) == pytest.approx(1)
    assert "19 finished trials" in importance.how and "best 5" in importance.how
    assert study.ended == "19 finished, 1 pruned"
    best = max((t for t in study.trials if t.state == "finished"), key=lambda t: t.values)
    assert study.best == [best.number] and best.run == best.number
    out = sr("compare", folder, "--table").out
    assert "importance for psnr_y: decides" in out and "PED-ANOVA over 19" in out
    assert json.loads(sr("compare", folder, "--json").out)["studies"][0]["importances"][0]["shares"].keys() == {
        "decides",
        "noise",
    }


def test_of_two_objectives_each_has_its_own(swept: Callable[..., Path]) -> None:
    [study] = studies(swept(20, 2), 20)
    assert [one.objective for one in study.importances] == ["psnr_y", "parameters"]
    assert next(iter(study.importances[0].shares)) == "decides" and next(iter(study.importances[1].shares)) == "noise"
    values = {t.number: t.values for t in study.trials}
    front = [n for n, (up, down) in values.items() if not any(u > up and d < down for u, d in values.values())]
    assert sorted(study.best) == sorted(front)


def test_too_few_trials_and_no_optuna_are_said(
    swept: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = swept(6, 1)
    [study] = studies(folder, 6)
    assert not study.importances and study.note.endswith("5 finished trials are too few, 10 the least")
    monkeypatch.setitem(sys.modules, "optuna", None)
    [study] = studies(folder, 6)
    assert study.note.endswith(f"needs the optuna extra: {install_extra('optuna')}")
    write_page([folder], tmp_path / "page.html", [], 0, 1)  # and all the rest is there
    assert "needs the optuna extra" in (tmp_path / "page.html").read_text()
    assert studies_of([read_run(folder / "0", "0")])[0].trials == []
