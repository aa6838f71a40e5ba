"""A run that validates its start: each validation is compared with it, and the start may be the best checkpoint."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from tests.conftest import TINY_GAN
from tests.same_runs import assert_same, state

START = ["trainer.validate_start=true", "data.val.sample.limit=3"]
HARMFUL = ["optim.learning_rate=0.3", "optim.ema_decay=null"]  # of which a network only gets worse


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def logged(folder):
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()[1:]]
    return {(int(step), key): float(value) for step, _, key, value in rows}


def test_the_start_is_measured_before_the_first_step(train):
    before = train("trainer.max_steps=2", name="before")
    folder = train(f"init_from={before}", *START, "data.val.sample.limit=2", "trainer.max_steps=4")
    values = logged(folder)
    assert values[0, "val/sample/psnr_y"] == pytest.approx(logged(before)[2, "val/sample/psnr_y"], abs=1e-6)
    assert (folder / "samples/step_00000000").is_dir()


@pytest.mark.parametrize("kind", ["pixel", "gan"])
def test_where_every_step_is_worse_the_start_is_the_best_checkpoint(train, kind, capsys):
    before = train("trainer.max_steps=2", name="before")
    options = [] if kind == "pixel" else [*TINY_GAN, "trainer.monitor=psnr_y"]
    folder = train(f"init_from={before}", *START, *HARMFUL, *options, "trainer.max_steps=6")
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert best["sr_experiments"]["step"] == 0 == summary_of(folder)["best"]["step"]
    start = torch.load(before / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(
        torch.equal(best["state_dict"][k], start[k.replace("generator.", "ema.", 1)])
        for k in best["state_dict"]
        if k.startswith("generator.")
    )
    said = capsys.readouterr().err
    assert "use          the start: no validation had a better sample/psnr_y" in said
    assert "worse" in said
    assert summary_of(folder)["against_start"]["final"]["val/sample/psnr_y"]["verdict"] == "worse"


def test_the_intervals_are_of_paired_differences_over_images(train, monkeypatch):
    from sr_experiments.training.validation import Validation

    seen = []
    finish = Validation.finish
    monkeypatch.setattr(Validation, "finish", lambda self: (finish(self), seen.append(dict(self.images)))[0])
    folder = train(*START, "trainer.max_steps=2")
    start, end = ([image["psnr_y"] for image in images["sample"].values()] for images in seen)
    assert len(start) == 3 and np.mean(start) == pytest.approx(logged(folder)[0, "val/sample/psnr_y"])
    expected = stats.ttest_rel(end, start).confidence_interval(0.95)
    found = summary_of(folder)["against_start"]["final"]["val/sample/psnr_y"]
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert found["mean"] == pytest.approx(np.mean(end) - np.mean(start)) and found["images"] == 3


def test_better_and_worse_follow_the_metrics_direction():
    from sr_experiments.training.callbacks.against_start import verdict

    assert verdict(0.1, 0.3, True) == "better" and verdict(0.1, 0.3, False) == "worse"
    assert verdict(-0.3, -0.1, True) == "worse" and verdict(-0.3, -0.1, False) == "better"
    assert verdict(-0.1, 0.3, True) == verdict(None, None, True) == "no clear difference"


def test_patience_ends_the_run_and_a_resume_needs_more_of_it(train, capsys):
    folder = train(*START, *HARMFUL, "trainer.max_steps=20", "trainer.patience=2")
    summary = summary_of(folder)
    assert (summary["state"], summary["step"], summary["best"]["step"]) == ("finished", 4, 0)
    why = "stopped after 2 validations without a better sample/psnr_y (trainer.patience=2)"
    said = capsys.readouterr().err
    assert summary["stopped"] == why and why in said and "trainer.max_steps=40 trainer.patience=null" in said
    with pytest.raises(SystemExit):
        train(f"resume={folder}")
    assert f"this run has {why}: to continue it give trainer.patience=null" in capsys.readouterr().err
    train(f"resume={folder}", "trainer.patience=null", "trainer.max_steps=6")
    assert summary_of(folder)["step"] == 6 and "stopped" not in summary_of(folder)


def test_patience_counts_from_the_last_gain(train):
    folder = train("trainer.max_steps=8", "trainer.patience=1", "data.val.sample.limit=1")
    gains = [logged(folder)[step, "val/sample/psnr_y"] for step in range(2, summary_of(folder)["step"] + 1, 2)]
    grown = np.diff(gains) > 0
    assert grown[:-1].all() and (not grown[-1] or summary_of(folder)["step"] == 8)


def test_a_run_resumed_from_its_start_ends_as_an_undisturbed_one(train, monkeypatch):
    from sr_experiments.training.callbacks.checkpoints import Checkpoints

    whole = train(*START, *TINY_GAN, name="whole")

    class Killed(Exception):
        pass

    save = Checkpoints.save

    def killed_after_saving(self, trainer, module, best=False):
        save(self, trainer, module, best)
        if module.step == 0:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", killed_after_saving)
        with pytest.raises(Killed):
            train(*START, *TINY_GAN, name="killed")
    [folder] = (whole.parents[2] / "killed").glob("*/*")
    train(f"resume={folder}")
    assert_same(state(whole), state(folder))
    ours, theirs = summary_of(folder), summary_of(whole)
    assert ours["final"] == theirs["final"] and ours["best"] == theirs["best"]
    assert ours["against_start"] == theirs["against_start"]
