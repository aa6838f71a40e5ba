"""`sr pack`, `sr upscale` of a video and sweeps, killed with SIGKILL and started again."""

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY_MODEL, TINY_RUN
from tests.crash.victims import KILLS, PATIENCE, SEED, kill, start, training, wait_for
from tests.inference.films import film, write
from tests.same_runs import assert_same_run

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200)]

SR = [str(Path(sys.executable).with_name("sr"))]
TIMES = max(2, KILLS // 9)


def ended(process, said):
    assert process.wait(PATIENCE) == 0, said.read_text()[-3000:]
    assert "Traceback" not in said.read_text()


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_a_killed_pack_goes_on_to_the_same_bytes(tmp_path):
    chance, rng = random.Random(SEED), np.random.default_rng(SEED)
    (tmp_path / "images").mkdir()
    noise = rng.integers(0, 255, (480, 640, 3), np.uint8)
    for i in range(400):
        Image.fromarray(np.roll(noise, i, 0)).save(tmp_path / "images" / f"{i}.png", compress_level=1)
    said, pack = tmp_path / "said", tmp_path / "pack"
    command = [*SR, "pack", str(tmp_path / "images"), "--workers", "1"]
    for number in range(TIMES):
        process = start([*command, str(pack)], said)
        wait_for(lambda: list(pack.glob("pixels-*")), process)
        delay = chance.uniform(0, 1.5)
        print(f"  kill {number + 1}: {delay:.2f} s after the first pixels")  # noqa: T201
        time.sleep(delay)
        assert kill(process), said.read_text()
    ended(start([*command, str(pack)], said), said)
    ended(start([*command, str(tmp_path / "whole")], said), said)
    assert contents(pack) == contents(tmp_path / "whole")
    ended(start([*SR, "pack", "--verify", str(pack)], said), said)


@pytest.mark.parametrize("network", ["msrresnet", "frvsr"])
def test_a_killed_video_goes_on_to_the_same_file(tmp_path, weights, network):
    chance = random.Random(SEED)
    source = write(tmp_path / "in.mkv", film(30) * 50)
    checkpoint, said = weights(network), tmp_path / "said"
    command = [*SR, "upscale", str(source), "--checkpoint", str(checkpoint), "--device", "cpu", "--resume"]
    target, partial = tmp_path / "out.mkv", tmp_path / ".out.mkv.partial"
    for number in range(TIMES):
        process = start([*command, "-o", str(target)], said)
        wanted = partial / f"{min(number, 3):06d}.mkv"
        wait_for(wanted.exists, process)
        delay = chance.uniform(0, 0.3)
        print(f"  kill {number + 1}: {delay:.2f} s after segment {min(number, 3)}")  # noqa: T201
        time.sleep(delay)
        assert kill(process), said.read_text()
        assert not target.exists()
    ended(start([*command, "-o", str(target)], said), said)
    ended(start([*command, "-o", str(tmp_path / "whole.mkv")], said), said)
    assert target.read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    assert not partial.exists()


def test_a_killed_sweep_goes_on_and_repeats_nothing(tmp_path):
    chance = random.Random(SEED)
    choices = ["-m", "model=srresnet,msrresnet", "seed=0,1", *TINY_MODEL["srresnet"][1:], *TINY_RUN]
    choices += ["trainer.max_steps=150", "trainer.val_every=50", "trainer.checkpoint_every=10"]
    said, sweep = tmp_path / "said", tmp_path / "sweep"
    finished: dict[Path, tuple[int, int]] = {}
    for number in range(min(TIMES, 4)):
        process = start(training(*choices, f"hydra.sweep.dir={sweep}"), said)
        after = chance.randint(1, 120)
        wait_for(lambda n=number, after=after: logged(sweep, n) >= after, process)
        print(f"  kill {number + 1}: job {number}, from step {after} on")  # noqa: T201
        assert kill(process), said.read_text()[-3000:]
        for job in sweep.glob("*_x4"):
            summary = job / "summary.json"
            if summary.is_file() and json.loads(summary.read_text())["state"] == "finished":
                stat = (job / "checkpoints" / "last.ckpt").stat()
                assert finished.setdefault(job, (stat.st_ino, stat.st_mtime_ns)) == (stat.st_ino, stat.st_mtime_ns)
    assert finished
    ended(start(training(*choices, f"hydra.sweep.dir={sweep}"), said), said)
    for job, (inode, written) in finished.items():
        stat = (job / "checkpoints" / "last.ckpt").stat()
        assert (stat.st_ino, stat.st_mtime_ns) == (inode, written), "it was trained twice"
    whole = tmp_path / "whole"
    ended(start(training(*choices, f"hydra.sweep.dir={whole}"), said), said)
    assert {job.name for job in sweep.glob("*_x4")} == {job.name for job in whole.glob("*_x4")}
    for job in whole.glob("*_x4"):
        assert_same_run(sweep / job.name, job)


def logged(sweep: Path, number: int) -> int:
    """Last step that a job has logged."""
    files = list(sweep.glob(f"{number}_*/metrics.csv"))
    rows = files[0].read_text().splitlines() if files else []
    return max((int(row.split(",")[0]) for row in rows[1:-1]), default=0)
