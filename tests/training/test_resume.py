"""A run that was stopped and continued ends with the same bits as one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sr_experiments.training import signals
from sr_experiments.training.callbacks import checkpoints
from sr_experiments.training.callbacks.checkpoints import link_checkpoint
from sr_experiments.training.module import SRModule
from tests.conftest import ROOT, TINY_GAN, TINY_MODEL, TINY_RUN, gan_schedule, others_slow
from tests.same_runs import assert_same, assert_same_run, logged_step, state

STEPS = 150
RUN = [
    *TINY_MODEL["srresnet"],  # batch norm: buffers must survive too
    *TINY_RUN,
    f"trainer.max_steps={STEPS}",
    "trainer.val_every=60",
    "trainer.checkpoint_every=25",
    "data.num_workers=2",
    "optim.clip_norm=1.0",
]
GAN = [*TINY_GAN, *gan_schedule(10, 40), "loss/adversarial=wgan_gp"]
TERMS = ",".join(sorted(path.stem for path in (ROOT / "conf/loss/terms").glob("*.yaml")))


# `python train.py`, but that its steps take their time after so many: on no machine has it ended before the signal.
SLOWED = """
import runpy, sys, time
from sr_experiments.tracking.loggers import MetricsCSV
after, log = int(sys.argv.pop(1)), MetricsCSV.log_metrics
def slowly(self, metrics, step=None):
    log(self, metrics, step)
    time.sleep(0.2 if step >= after else 0)
MetricsCSV.log_metrics = slowly
runpy.run_path("train.py", run_name="__main__")
"""


def interrupt(root: Path, overrides: list[str], after: int, signum: int) -> tuple[Path, int, str]:
    """Start the command, send it the signal once it has logged `after` steps; its folder, exit code and output."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWED, str(after), *overrides, f"output_dir={root}"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while logged_step(root) < after and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)  # as a terminal does: the data workers get it too
    else:
        process.send_signal(signum)
    output, _ = process.communicate(timeout=120)
    return next(root.glob("*/*")), process.returncode, output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "signum", "after"),
    [
        ([], signal.SIGINT, 37),
        ([*GAN, f"+loss/terms=[{TERMS}]"], signal.SIGTERM, 30),
    ],
    ids=["pixel-ctrl-c", "gan-sigterm"],
)
def test_interrupted_and_resumed_equals_uninterrupted(train, tmp_path, loss, signum, after):
    """With SIGKILL: tests/crash/test_training_killed.py."""
    folder, code, output = interrupt(tmp_path / "stopped", [*RUN, *loss], after, signum)
    stopped_at = state(folder)["sr_experiments"]["step"]
    assert 0 < stopped_at < STEPS
    assert code == 128 + signum
    assert stopped_at >= after
    assert f"resume={folder}" in output

    train(f"resume={folder}")
    reference = train(*RUN, *loss, name="reference")

    assert state(folder)["sr_experiments"]["step"] == STEPS
    assert_same(state(folder), state(reference))
    rows = [row.split(",")[0::2] for row in (folder / "metrics.csv").read_text().splitlines()[1:]]
    assert len({tuple(r) for r in rows}) == len(rows), "a step is logged twice"


def test_resume_in_the_middle_of_accumulation_waits_for_the_update(train):
    options = ["optim.accumulate=3", "trainer.val_every=100", "trainer.checkpoint_every=4"]
    whole = train(*options, "trainer.max_steps=12", name="whole")
    part = train(*options, "trainer.max_steps=12", name="part")
    # A checkpoint due at step 4 is written at step 6, when no gradients are pending.
    assert state(part)["sr_experiments"]["step"] == 12
    assert_same(state(part), state(whole))


@pytest.mark.slow
def test_several_new_things_at_once_resume_to_the_same_bits(train):
    options = [
        *TINY_GAN,
        *gan_schedule(0, 0),
        "loss/perceptual=none",
        "loss/discriminator=multiscale_patch",
        "optim=muon",
    ]
    options += ["loss.discriminator.r1_gamma=1", "loss.discriminator.r1_every=2", "loss.discriminator.layers=1"]
    options += ["+augment=[mixup,cutmix,rgb]", "augment.mixup.probability=0.5", "optim.ema_decay=0.9"]
    options += [
        "optim=muon",
        "optim.weight_decay=0.1",
        "optim.accumulate=2",
        "optim/schedule=wsd",
        "trainer.checkpoint_every=2",
    ]
    options += ["callbacks.samples.count=0", "trainer.val_every=100", "optim.warmup_steps=2"]
    folder = train(*options, "trainer.max_steps=10", "trainer.val_every=4", name="whole")
    part = train(*options, "trainer.max_steps=4", "optim.schedule.decay=0", name="part")
    assert any(key.startswith("ema.") for key in state(part)["state_dict"])
    assert len(state(part)["optimizer_states"]) == 4, "Muon and AdamW, of both networks"
    train(f"resume={part}", "trainer.max_steps=10", "optim.schedule.decay=0.2")
    assert_same(state(part), state(folder))


def test_longer_after_the_end(train):
    options = ["optim/schedule=constant", "trainer.val_every=2"]
    folder = train(*options, "trainer.max_steps=4")
    train(f"resume={folder}", "trainer.max_steps=8")
    assert_same(state(folder), state(train(*options, "trainer.max_steps=8", name="at_once")))


def test_a_run_on_compressed_clips_resumes_to_the_same_bits(train):
    options = ["data=sample_video", "degradation=video", "data.crop=64", "optim/schedule=constant"]
    options += [f"++data.val.sample_video.{given}" for given in ("name=sample_video", "limit=1", "frames=6", "size=64")]
    options += ["~data.val.sample"]
    folder = train(*options, "trainer.max_steps=2")
    train(f"resume={folder}", "trainer.max_steps=4")
    assert_same(state(folder), state(train(*options, "trainer.max_steps=4", name="at_once")))


def test_finished_run_says_so(train, capsys):
    folder = train()
    with pytest.raises(SystemExit) as stop:
        train(f"resume={folder}")
    assert stop.value.code == 2
    assert "finished, at step 4" in capsys.readouterr().err


SHORT = ["trainer.max_steps=8", "trainer.val_every=2", "trainer.checkpoint_every=8"]


def test_a_stop_at_a_validation_waits_for_it(train, monkeypatch):
    whole = train(*SHORT, name="whole")
    original = SRModule.train_batch

    def interrupted(self, lr, hr, target):
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)
        return original(self, lr, hr, target)

    monkeypatch.setattr(SRModule, "train_batch", interrupted)
    with pytest.raises(SystemExit) as stop:
        train(*SHORT, name="stopped")
    assert stop.value.code == 128 + signal.SIGINT
    [folder] = whole.parents[2].glob("stopped/*/*")
    assert state(folder)["sr_experiments"]["step"] == 4
    train(f"resume={folder}")
    assert_same_run(folder, whole)  # with what was measured at step 4


@pytest.mark.parametrize("pause, step", [(0, 2), (2, 1)], ids=["passed on twice", "sent twice"])
def test_a_signal_that_comes_twice(train, monkeypatch, tmp_path, pause, step):
    """`timeout 60 uv run train.py` gets each one twice at once; a second one later stops without waiting."""
    original, elapsed = SRModule.train_batch, [0.0]
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: elapsed[0]))

    def interrupted(self, lr, hr, target):
        if self.step == 1:
            signal.raise_signal(signal.SIGTERM)
            elapsed[0] += pause
            signal.raise_signal(signal.SIGTERM)
        return original(self, lr, hr, target)

    monkeypatch.setattr(SRModule, "train_batch", interrupted)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        train(*SHORT, "trainer.checkpoint_every=1", name="stopped")
    [folder] = tmp_path.glob("stopped/*/*")
    assert json.loads((folder / "summary.json").read_text())["state"] == "interrupted"
    assert state(folder)["sr_experiments"]["step"] == step


def test_what_was_started_to_ignore_ctrl_c_trains_on(train, monkeypatch):
    original = SRModule.train_batch

    def interrupted(self, lr, hr, target):
        signal.raise_signal(signal.SIGINT)
        return original(self, lr, hr, target)

    monkeypatch.setattr(SRModule, "train_batch", interrupted)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        folder = train()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert json.loads((folder / "summary.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("video", others_slow([False], [False, True]))
def test_a_run_killed_between_the_names_of_a_checkpoint_gets_them_all(train, monkeypatch, video):
    options = [] if video else SHORT
    whole = train(*options, name="whole", video=video)

    def killed(last, name):
        if state(last.parents[1])["sr_experiments"]["step"] == 4:
            raise KeyboardInterrupt
        link_checkpoint(last, name)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(checkpoints, "link_checkpoint", killed)
        train(*options, name="stopped", video=video)
    [folder] = whole.parents[2].glob("stopped/*/*")
    (folder / "checkpoints" / ".last.ckpt.1.tmp").write_bytes(b"half")
    train(f"resume={folder}")
    assert_same_run(folder, whole)
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.slow
def test_a_run_killed_in_its_last_moment_is_finished_by_its_resume(train):
    whole, folder = (train(name=name, video=True) for name in ("whole", "stopped"))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "state": "running", "best": {}}))
    for name in ("best.ckpt", "stage_3_joint.ckpt"):
        (folder / "checkpoints" / name).unlink()
    train(f"resume={folder}")
    assert_same_run(folder, whole)


def test_half_written_checkpoint_never_replaces_the_last_whole_one(train, monkeypatch, capsys):
    folder = train()
    good = (folder / "checkpoints" / "last.ckpt").read_bytes()

    def full_disk(trainer, path, **kwargs):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    import pytorch_lightning as pl

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", full_disk)
    with pytest.raises(SystemExit):
        train(f"resume={folder}", "trainer.max_steps=8")
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == good
    assert not list((folder / "checkpoints").glob(".*tmp"))
    assert "no space left" in capsys.readouterr().err


def test_a_run_is_not_resumed_with_other_networks_and_stays_as_it_was(train, capsys):
    folder = train()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for override, difference in (
        (["loss=gan"], "the checkpoint is not of a GAN, the run is one"),
        (["model.features=16"], "the checkpoint has features=8, the run features=16"),
    ):
        with pytest.raises(SystemExit) as stop:
            train(f"resume={folder}", "trainer.max_steps=200", *override)
        assert stop.value.code == 2
        assert f"cannot resume: {difference}; to start a new run" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
