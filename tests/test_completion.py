"""Completion in a shell: of `sr` and its trainings by Typer's scripts, of `python train.py` by Hydra's."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sr_experiments import __version__
from sr_experiments.config.completion import completions
from sr_experiments.runs.folder import code_state, git_state
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("before", "incomplete", "offered"),
    [
        ([], "mod", {"model=", "model."}),
        (["-m", "model=rrdbnet"], "loss=g", {"loss=gan"}),
        (["model", "="], "rr", {"rrdbnet"}),  # as bash splits it
        (["model=rrdbnet"], "model.f", {"model.features=64"}),  # the value it has, for one that has one setting
        (
            ["seed", "=", "1", "optim"],
            "",
            {"adam", "adamw", "adan", "muon", "schedule_free_adamw", "soap"},
        ),  # bash's "optim="
        ([], "init_f", {"init_from="}),
        (["mistyped=1"], "trainer=", {"trainer=ddp", "trainer=default", "trainer=slurm"}),
        (["--config-dir", "<tmp>"], "experiment=mi", {"experiment=mine"}),
    ],
)
def test_choices_and_settings_of_a_training(before, incomplete, offered, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nname: mine\n")
    words = [word.replace("<tmp>", str(tmp_path)) for word in before]
    assert set(completions(words, incomplete)) == offered


def test_it_says_nothing_of_what_is_wrong(capfd):
    assert completions(["model=nosuch", "((("], "optim.") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_in_bash(tmp_path):
    script = """
    source <(sr --show-completion bash)
    COMP_WORDS=(sr train model = rrd) COMP_CWORD=4
    _sr_completion sr && echo "sr: ${COMPREPLY[@]}"
    cd "$ROOT" && eval "$(python train.py -sc install=bash)"
    COMP_LINE="python train.py model=rrd" COMP_WORDS=(python train.py model=rrd) COMP_CWORD=2
    hydra_bash_completion && echo "train.py: ${COMPREPLY[@]}"
    """
    programs = Path(sys.executable).parent
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "ROOT": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["sr: rrdbnet", "train.py: model=rrdbnet"], done.stderr


def test_fish_completes_the_arguments_of_files_that_hold_these_words(train_py: Callable):
    assert "@hydra.main" in train_py("-sc", "install=fish").out
    assert "@hydra.main" in (ROOT / "train.py").read_text()


def test_version_tells_what_a_report_of_a_fault_needs(sr: Callable):
    first, *others = sr("--version").out.splitlines()
    assert first.startswith(f"sr_experiments {__version__}")
    if state := git_state(ROOT):
        assert state["commit"][:10] in first and ("with changes" in first) == state["dirty"]
    assert {line.split()[0] for line in others} >= {"torch", "pytorch-lightning", "Python"}


def test_the_git_state_is_of_this_code_and_of_no_folder_around_it(tmp_path, monkeypatch):
    """Installed in the environment of somebody's project, the project's commit is not this code's."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    run = {"cwd": tmp_path, "check": True, "capture_output": True}
    subprocess.run(["git", "init"], **run)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "a"], **run)
    installed = tmp_path / "lib/sr_experiments"
    installed.mkdir(parents=True)
    assert git_state(installed)
    monkeypatch.setattr("sr_experiments.runs.folder.PACKAGE", installed)
    assert code_state() == {}
