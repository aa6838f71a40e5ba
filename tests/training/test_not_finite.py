"""A loss that becomes NaN: what is kept of it, and how a run goes back."""

import json
import math
import re

import pytest
import torch
from PIL import Image

from sr_experiments.training.module import SRModule
from tests.conftest import TINY_GAN, others_slow
from tests.same_runs import assert_same, state
from tests.test_train_command import metrics_of, summary_of
from tests.wandb_sessions import sessions

# From the sixth step on the learning rate is absurd; the weights saved after it are ruined, but still finite.
DIVERGING = [
    "optim/schedule=multistep",
    "optim.schedule.milestones=[5]",
    "optim.schedule.gamma=1e30",
    "trainer.max_steps=12",
    "trainer.val_every=4",
]
VIDEO = ["stages=[joint]", "stage.joint.steps=12"]
VIDEO += ["stage.joint.schedule={name:multistep,milestones:[5],gamma:1e30}"]
KINDS = {
    "pixel": (DIVERGING, False),
    "gan": ([*DIVERGING, *TINY_GAN], False),
    "frvsr": ([*VIDEO, "trainer.val_every=4"], True),
}


@pytest.fixture
def pairs(monkeypatch):
    """What was learned from, by step, the first time."""
    seen = {}
    original = SRModule._pair

    def remember(self, batch):
        pair = original(self, batch)
        seen.setdefault(self.step + 1, tuple(images.clone() for images in pair))
        return pair

    monkeypatch.setattr(SRModule, "_pair", remember)
    return seen


def failed(train, capsys, *overrides, **options):
    """The run folder and the error of a training that ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        train(*overrides, **options)
    assert stop.value.code == 2
    return next(line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_offending_batch_is_kept_with_all_that_is_known(train, capsys, tmp_path, pairs, kind):
    options, video = KINDS[kind]
    error = failed(train, capsys, *options, "trainer.log_every=5", "data.num_workers=1", video=video)
    [folder] = (tmp_path / "run").glob("*/*/nan/*")
    report = json.loads((folder / "report.json").read_text())
    step = report["step"]
    assert f"{report['what']} became" in error and f"at step {step}" in error and str(folder) in error
    assert not math.isfinite(report["values"][str(step)][report["what"]])
    assert all(math.isfinite(v) for s, values in report["values"].items() if int(s) < step for v in values.values())
    kept = torch.load(folder / "batch.pt", weights_only=True)
    assert all(torch.equal(kept[name], images) for name, images in zip(kept, pairs[step], strict=True))
    assert not all(torch.equal(kept["hr"], hr) for _, hr, _ in list(pairs.values())[:-1] if hr is not pairs[step][1])
    assert len(report["samples"]) == 2 and all("skimage" in sample["file"] for sample in report["samples"])
    now = torch.load(folder / "state.pt", weights_only=True)
    bad = [name for name in report["not_finite"] if name.startswith("state_dict.")]
    assert all(not now["state_dict"][name.removeprefix("state_dict.")].isfinite().all() for name in bad)
    assert report["noticed_at_step"] == now["step"] >= step
    before = torch.load(folder / "before.ckpt", weights_only=True)
    assert before["sr_experiments"]["step"] < step
    assert Image.open(folder / "batch.png").size[1] > 2 * 32
    assert (folder / "config.yaml").read_text() == (folder.parents[1] / "config.yaml").read_text()
    assert summary_of(folder.parents[1])["state"] == "failed"


def test_batches_mixed_by_the_pool_are_kept_as_they_were_learned_from(train, capsys, tmp_path, monkeypatch):
    learned = {}
    original = SRModule.pair_of

    def remember(self, batch, step):
        learned.setdefault(step + 1, [images.clone() for images in original(self, batch, step)])
        return tuple(learned[step + 1])

    monkeypatch.setattr(SRModule, "pair_of", remember)
    mixed = ["degradation=real_esrgan", "degradation.pool=4", "data.crop=64", "trainer.log_every=12"]
    failed(train, capsys, *DIVERGING, *mixed, "trainer.checkpoint_every=12")
    [folder] = (tmp_path / "run").glob("*/*/nan/*")
    kept = torch.load(folder / "batch.pt", weights_only=True)
    step = json.loads((folder / "report.json").read_text())["step"]
    assert all(torch.equal(images, again) for images, again in zip(kept.values(), learned[step], strict=True))


def test_of_a_gradient_all_batches_of_the_update_are_kept(train, capsys, tmp_path, pairs, monkeypatch):
    original = SRModule.update

    def broken(self, loss, *names):
        return original(self, loss * math.inf if self.step == 4 else loss, *names)

    monkeypatch.setattr(SRModule, "update", broken)
    error = failed(train, capsys, "optim.accumulate=3", "trainer.max_steps=12")
    assert "grad_norm/generator became" in error and "at step 6" in error
    [folder] = (tmp_path / "run").glob("*/*/nan/*")
    kept = torch.load(folder / "batch.pt", weights_only=True)
    assert torch.equal(kept["hr"], torch.cat([pairs[step][1] for step in (4, 5, 6)]))
    assert len(json.loads((folder / "report.json").read_text())["samples"]) == 6


@pytest.mark.parametrize("kind", others_slow(["pixel"], KINDS))
def test_a_run_rolls_back_and_continues_with_a_lower_rate(train, caplog, kind):
    options, video = KINDS[kind]
    back = ["trainer.rollback.tries=3", "trainer.rollback.factor=1e-17", "trainer.checkpoint_every=2"]
    folder = train(*options, *back, "logger=wandb", video=video)
    summary, values = summary_of(folder), metrics_of(folder)
    assert summary["state"] == "finished" and summary["step"] == 12
    first, second = summary["rollbacks"]
    # The newest checkpoint was ruined: the second time the run goes further back.
    assert (first["to_step"], second["to_step"]) == (6, 4)
    assert first["at_step"] == second["at_step"] == 7
    end = state(folder)
    assert all(t.isfinite().all() for t in end["state_dict"].values())
    rates = next(values[key] for key in values if key.startswith("learning_rate/"))
    assert rates[5] == pytest.approx(rates[4] * 1e-34) and set(rates) == set(range(1, 13))
    rows = [row.split(",")[0::2] for row in (folder / "metrics.csv").read_text().splitlines()[1:]]
    assert len({tuple(row) for row in rows}) == len(rows), "a step is logged twice"
    assert "rolling back to step 6" in caplog.text and "rollback 2 of 3" in caplog.text
    assert "rollback 1 of 3" in (folder / "train.log").read_text()
    [session] = sessions(folder)
    assert [alert.title.split(":")[0] for alert in session.alerts] == ["NaN", "rollback 1", "rollback 2"]
    steps = [row["_step"] for row in session.history]
    assert steps == sorted(set(steps)) and steps[-1] == 12


def test_a_rolled_back_run_resumes_to_the_same_bits(train):
    back = ["trainer.rollback.tries=3", "trainer.rollback.factor=1e-17", "trainer.checkpoint_every=2"]
    whole = train(*DIVERGING, *back, name="whole")
    stopped = train(*DIVERGING, *back, "trainer.max_steps=8", name="stopped")
    assert len(state(stopped)["sr_experiments"]["rollbacks"]) == 2
    train(f"resume={stopped}", "trainer.max_steps=12")
    assert_same(state(stopped), state(whole))
    assert summary_of(stopped)["rollbacks"] == summary_of(whole)["rollbacks"]


def test_a_batch_that_is_bad_at_any_rate_ends_the_run_after_the_tries(train, capsys, tmp_path, monkeypatch):
    original, count = SRModule.update, []

    def broken(self, loss, *names):
        count.append(self.step)
        return original(self, loss * math.nan if self.step == 4 else loss, *names)

    monkeypatch.setattr(SRModule, "update", broken)
    back = ["trainer.rollback.tries=2", "trainer.checkpoint_every=1", "trainer.max_steps=8"]
    error = failed(train, capsys, *back)
    assert "at step 5" in error
    assert count.count(4) == 3
    [folder] = (tmp_path / "run").glob("*/*")
    summary = summary_of(folder)
    assert summary["state"] == "failed" and len(summary["rollbacks"]) == 2
    assert summary["error"] in error.removeprefix("error: ") and "nan/step_00000005" in summary["error"]
    # What is left can be resumed, from good weights.
    monkeypatch.setattr(SRModule, "update", original)
    train(f"resume={folder}")
    assert summary_of(folder)["state"] == "finished"


def test_a_run_does_not_roll_back_to_a_checkpoint_with_nan_in_it(train, capsys, caplog, tmp_path):
    folder = train("trainer.max_steps=4", "optim/schedule=constant")
    last = folder / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    next(iter(content["state_dict"].values())).fill_(math.nan)
    last.unlink()
    (folder / "checkpoints" / "best.ckpt").unlink()
    torch.save(content, last)
    error = failed(train, capsys, f"resume={folder}", "trainer.max_steps=8", "trainer.rollback.tries=2")
    assert "became nan at step 5" in error
    assert re.search(r"cannot roll back to \S+last.ckpt: state_dict\.", caplog.text)
    assert "rollbacks" not in summary_of(folder)


@pytest.mark.parametrize(("option", "says"), [("tries=-1", "whole number"), ("factor=1", "between 0 and 1")])
def test_wrong_rollbacks_are_refused(train, capsys, option, says):
    assert says in failed(train, capsys, f"trainer.rollback.{option}")
