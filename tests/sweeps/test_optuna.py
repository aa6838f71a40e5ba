"""Studies of Optuna through `python train.py -m hydra/sweeper=optuna`."""

import csv
import json
import os
import re
import signal
import sys

import pytest
import yaml

from sr_experiments.packages.extras import install_extra
from sr_experiments.training.callbacks.checkpoints import Checkpoints

pytest.importorskip("optuna")
OPTUNA = "hydra/sweeper=optuna"
RATES = "optim.learning_rate=tag(log,interval(1e-5,1e-2))"


def read(path):
    return json.loads(path.read_text())


def study_in(folder):
    return read(folder / "optuna.json")


def states_of(folder):
    return [trial["state"] for trial in study_in(folder)["trials"]]


def test_a_study_finds_the_best_trial_and_goes_on(sweep, sr, tmp_path):
    losses = "loss.terms.pixel.name=l1,mse"
    searched = (OPTUNA, RATES, "model.features=range(4,13,4)", losses, "optim/schedule=constant")
    folder = tmp_path / "sweep"
    first = sweep(*searched, "hydra.sweeper.n_trials=2", "hydra.sweeper.startup_trials=2")
    assert first.code == 0, first.err
    before = study_in(folder)
    done = sweep(*searched, "hydra.sweeper.n_trials=3", "hydra.sweeper.startup_trials=2")
    assert done.code == 0, done.err
    study = study_in(folder)
    assert study["trials"][:2] == before["trials"] and states_of(folder) == ["finished"] * 3
    for number, trial in enumerate(study["trials"]):
        job = folder / trial["folder"]
        assert job.name == f"{number}_msrresnet_pixel_x4"
        config, summary = yaml.safe_load((job / "config.yaml").read_text()), read(job / "summary.json")
        assert trial["params"]["optim.learning_rate"] == config["optim"]["learning_rate"]
        assert trial["params"]["model.features"] == config["model"]["features"]
        assert trial["params"]["loss.terms.pixel.name"] == config["loss"]["terms"]["pixel"]["name"]
        assert trial["values"] == [summary["best"]["metrics"]["val/sample/psnr_y"]]
        assert summary["best"]["monitor"] == "val/sample/psnr_y"
        assert 1e-5 <= config["optim"]["learning_rate"] <= 1e-2 and config["model"]["features"] in (4, 8, 12)
    assert study["objectives"] == [{"name": "psnr_y", "direction": "maximize"}]
    values = [trial["values"][0] for trial in study["trials"]]
    assert study["best"] == [values.index(max(values))]
    table = done.err[done.err.index(" optim.learning_rate ") :].splitlines()
    assert table[2].split()[0] == str(study["best"][0]) and "3 finished" in done.err

    whole = tmp_path / "whole"
    again = sweep(*searched, "hydra.sweeper.n_trials=3", "hydra.sweeper.startup_trials=2", f"hydra.sweep.dir={whole}")
    assert again.code == 0
    assert [t["params"] for t in study_in(whole)["trials"]] == [t["params"] for t in study["trials"]]

    compared = json.loads(sr("compare", folder, "--json").out)
    assert [s["best"] for s in compared["studies"]] == [study["best"]]
    assert "3 finished trials are too few, 10 the least" in compared["studies"][0]["note"]


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_in_its_folder(sweep, tmp_path, monkeypatch):
    searched = (OPTUNA, RATES, "optim/schedule=constant", "hydra.sweeper.n_trials=3", "trainer.max_steps=6")
    folder = tmp_path / "sweep"
    normal, begun = Checkpoints.on_train_batch_end, []

    def stop_the_second_trial(self, trainer, module, *rest):
        begun.append(module.step)
        if "1_" in self.folder.parent.name and module.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        normal(self, trainer, module, *rest)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", stop_the_second_trial)
    stopped = sweep(*searched)
    assert stopped.code == 128 + signal.SIGTERM
    assert states_of(folder) == ["finished", "interrupted"]
    assert "continue" in stopped.err and "hydra.sweeper.n_trials=3" in stopped.err
    before, begun[:] = study_in(folder)["trials"], []
    with (folder / "optuna.journal").open("ab") as journal:
        journal.write(b'{"op_code":8,"wor')  # as if it had been killed while it wrote
    monkeypatch.setattr(Checkpoints, "on_train_batch_end", normal)
    assert sweep(*searched).code == 0
    after = study_in(folder)["trials"]
    assert states_of(folder) == ["finished"] * 3 and after[0] == before[0]
    assert after[1]["params"] == before[1]["params"] and after[1]["folder"] == before[1]["folder"]
    steps = [int(row["step"]) for row in csv.DictReader((folder / after[1]["folder"] / "metrics.csv").open())]
    assert steps == sorted(steps) and set(steps) == set(range(1, 7))  # none twice: it went on from step 3
    other = sweep(*searched, "seed=1")
    assert other.code == 2 and "holds another study" in other.err


@pytest.mark.slow
def test_a_failing_trial_does_not_end_the_study(sweep, tmp_path):
    folder = tmp_path / "sweep"
    rates = "optim.learning_rate=choice(1e-4,1e30)"
    random = "hydra.sweeper.sampler=random"
    done = sweep(OPTUNA, rates, random, "optim/schedule=constant", "hydra.sweeper.n_trials=3", "trainer.max_steps=3")
    assert done.code == 0, done.err
    trials = study_in(folder)["trials"]
    assert {t["params"]["optim.learning_rate"]: t["state"] for t in trials} == {"0.0001": "finished", "1e+30": "failed"}
    assert all("became" in t["error"] for t in trials if t["state"] == "failed")
    [line] = [line for line in done.err.splitlines() if re.match(r"trials? [\d, ]+ failed: .* became", line)][-1:]
    assert all(str(t["number"]) in line for t in trials if t["state"] == "failed")

    none = sweep(OPTUNA, rates.replace("1e-4,", ""), "optim/schedule=constant", "hydra.sweeper.n_trials=1",
                 "trainer.max_steps=3", f"hydra.sweep.dir={tmp_path / 'none'}")  # fmt: skip
    assert none.code == 1 and states_of(tmp_path / "none") == ["failed"]


@pytest.mark.slow
def test_bad_trials_are_pruned(sweep, sr, tmp_path):
    folder = tmp_path / "sweep"
    options = ("hydra.sweeper.pruner=median", "hydra.sweeper.pruner_startup_trials=1", "hydra.sweeper.sampler=random")
    done = sweep(
        OPTUNA, "optim.learning_rate=choice(1e-4,0.5)", "optim/schedule=constant", "trainer.max_steps=8",
        "optim.ema_decay=null", *options, "hydra.sweeper.n_trials=4", "hydra.sweeper.seed=2",
    )  # fmt: skip
    assert done.code == 0, done.err
    trials = study_in(folder)["trials"]
    assert trials[0]["params"]["optim.learning_rate"] == "0.0001"
    pruned = [t for t in trials if t["state"] == "pruned"]
    assert pruned and all(t["params"]["optim.learning_rate"] == "0.5" for t in pruned)
    for trial in trials:
        rows = csv.DictReader((folder / trial["folder"] / "metrics.csv").open())
        logged = {r["step"]: float(r["value"]) for r in rows if r["metric"] == "val/sample/psnr_y" and r["step"] != "8"}
        assert trial["reported"] == logged
        summary = read(folder / trial["folder"] / "summary.json")
        assert summary["state"] == trial["state"]
        assert (summary["step"] < 8) == (trial["state"] == "pruned")
    assert all((folder / t["folder"] / "checkpoints" / "last.ckpt").is_file() for t in pruned)
    listed = {one["name"]: one["state"] for one in json.loads(sr("runs", folder, "--json").out)}
    assert listed == {t["folder"]: t["state"] for t in trials}
    assert "pruned" in sr("compare", folder, "--table").out


@pytest.mark.slow
def test_two_objectives_give_a_pareto_front(sweep, tmp_path):
    folder = tmp_path / "sweep"
    done = sweep(
        OPTUNA, "model.features=choice(4,8,12)", RATES, "hydra.sweeper.objective=[sample/psnr_rgb,parameters]",
        "hydra.sweeper.n_trials=3", "hydra.sweeper.value=final", "trainer.max_steps=2",
    )  # fmt: skip
    assert done.code == 0, done.err
    study = study_in(folder)
    assert [o["direction"] for o in study["objectives"]] == ["maximize", "minimize"]
    points = {t["number"]: t["values"] for t in study["trials"]}
    for trial in study["trials"]:
        summary = read(folder / trial["folder"] / "summary.json")
        assert trial["values"] == [summary["final"]["val/sample/psnr_rgb"], summary["parameters"]]
        assert summary["best"]["monitor"] == "val/sample/psnr_rgb"

    def beaten(one):
        return any(o[0] >= one[0] and o[1] <= one[1] and o != one for o in points.values())

    assert sorted(study["best"]) == [number for number, values in points.items() if not beaten(values)]
    assert "Pareto front" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((RATES, "hydra.sweeper.objective=psnr_z"), "psnr_z is not measured: choose one of psnr_y"),
        ((RATES, "hydra.sweeper.objective=[psnr_y,psnr_rgb,parameters]"), "give one metric"),
        ((), "nothing to search"),
        ((RATES, "hydra.sweeper.n_trials=0"), "n_trials is 0: give a whole number of at least 1"),
        ((RATES, "hydra.sweeper.sampler=magic"), "sampler is 'magic': give tpe, gp or random"),
        ((RATES, "+hydra.sweeper.trials=3"), "hydra.sweeper has no trials"),
        (("optim.lerning_rate=interval(1,2)",), "optim.lerning_rate"),
        (("loss/pixel=l1,l3",), "l3"),
        (
            (RATES, "hydra.sweeper.objective=[psnr_y,parameters]", "hydra.sweeper.pruner=median"),
            "pruner=median needs one objective",
        ),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(sweep, tmp_path, arguments, said):
    done = sweep(OPTUNA, *arguments)
    [line] = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert done.code == 2 and said in line
    assert not (tmp_path / "sweep" / "optuna.journal").exists()


def test_without_optuna_its_extra_is_named(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = sweep(OPTUNA, RATES)
    assert done.code == 2
    assert f"error: hydra/sweeper=optuna needs the optuna extra: {install_extra('optuna')}" in done.err


@pytest.mark.slow
def test_trials_side_by_side_are_pruned_through_the_journal(sweep, tmp_path):
    done = sweep(
        OPTUNA, "optim.learning_rate=choice(1e-4,0.5)", "optim/schedule=constant", "trainer.max_steps=8",
        "optim.ema_decay=null", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.pruner=median", "hydra.sweeper.pruner_startup_trials=1", "hydra.sweeper.sampler=random",
        "hydra.sweeper.n_trials=6", "hydra.sweeper.seed=2",
    )  # fmt: skip
    assert done.code == 0, done.err
    trials = study_in(tmp_path / "sweep")["trials"]
    assert len(trials) == 6 and {t["state"] for t in trials} == {"finished", "pruned"}
    for trial in trials:
        summary = read(tmp_path / "sweep" / trial["folder"] / "summary.json")
        assert summary["state"] == trial["state"] and trial["reported"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [("sampler=gp", "pruner=hyperband"), ("sampler=tpe", "pruner=hyperband")])
def test_every_sampler_and_pruner(sweep, tmp_path, options):
    given = [f"hydra.sweeper.{option}" for option in options]
    done = sweep(OPTUNA, RATES, "model.features=4,8", "trainer.max_steps=8", "hydra.sweeper.n_trials=5",
                 "hydra.sweeper.startup_trials=2", *given)  # fmt: skip
    assert done.code == 0, done.err
    assert set(states_of(tmp_path / "sweep")) <= {"finished", "pruned"}
