"""A run that was stopped and continued ends with the same bits as one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, TINY_GAN, TINY_MODEL, TINY_RUN

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
GAN = [*TINY_GAN, "loss.warmup_steps=10", "loss.ramp_steps=40", "loss/adversarial=wgan_gp"]


def state(folder: Path) -> dict:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "sr_experiments")}


def assert_same(a: object, b: object, where: str = "") -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def logged_step(root: Path) -> int:
    files = list(root.glob("*/*/metrics.csv"))
    rows = files[0].read_text().splitlines() if files else []
    return max((int(row.split(",")[0]) for row in rows[1:-1]), default=0)


def interrupt(root: Path, overrides: list[str], after: int, signum: int) -> tuple[Path, int, str]:
    """Start the command, send it the signal once it has logged `after` steps; its folder, exit code and output."""
    process = subprocess.Popen(
        [sys.executable, "train.py", *overrides, f"output_dir={root}"],
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


@pytest.mark.parametrize(
    ("loss", "signum", "after"),
    [
        ([], signal.SIGINT, 37),
        pytest.param([], signal.SIGKILL, 68, marks=pytest.mark.slow),
        pytest.param(GAN, signal.SIGTERM, 30, marks=pytest.mark.slow),
        (GAN, signal.SIGKILL, 90),
    ],
    ids=["pixel-ctrl-c", "pixel-sigkill", "gan-sigterm", "gan-sigkill"],
)
def test_interrupted_and_resumed_equals_uninterrupted(train, tmp_path, loss, signum, after):
    folder, code, output = interrupt(tmp_path / "stopped", [*RUN, *loss], after, signum)
    stopped_at = state(folder)["sr_experiments"]["step"]
    assert 0 < stopped_at < STEPS
    if signum == signal.SIGKILL:
        assert stopped_at % 25 == 0 or stopped_at % 60 == 0
    else:
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


def test_longer_after_the_end(train):
    options = ["optim/schedule=constant", "trainer.val_every=2"]
    folder = train(*options, "trainer.max_steps=4")
    train(f"resume={folder}", "trainer.max_steps=8")
    assert_same(state(folder), state(train(*options, "trainer.max_steps=8", name="at_once")))


def test_finished_run_says_so(train, capsys):
    folder = train()
    with pytest.raises(SystemExit) as stop:
        train(f"resume={folder}")
    assert stop.value.code == 2
    assert "finished, at step 4" in capsys.readouterr().err


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
