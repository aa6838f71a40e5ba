"""A disk that is full ends training with one line; what was saved stays whole, and with space it goes on."""

import contextlib
import random
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.test_training_killed import KINDS, STEPS
from tests.crash.victims import PATIENCE, SEED, Victim, assert_whole, resume_command, start, wait_for
from tests.same_runs import assert_same_run, logged_step

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200)]

CHOSEN = {"pixel": [*KINDS["pixel"], "logger=wandb"], "frvsr": KINDS["frvsr"]}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk for nine checkpoints of the largest network here."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a disk to fill up needs root, to mount a tmpfs: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> None:
    """Leave no byte."""
    for size in (1 << 20, 1 << 12, 1):
        with contextlib.suppress(OSError), (place / "ballast").open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * size)


def refused(said: str, folder: Path) -> None:
    """One line that names the file and what to do, and no traceback."""
    lines = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, said[-3000:]
    assert str(folder) in lines[0] and "free some" in lines[0], lines[0]
    assert "Traceback" not in said and "Logging error" not in said, said[-3000:]


@pytest.mark.parametrize("kind", CHOSEN)
def test_a_full_disk_is_one_line_and_costs_nothing(small_disk, tmp_path, kind):
    chance = random.Random(SEED)
    victim = Victim(small_disk / "victim", CHOSEN[kind], STEPS, chance, log=tmp_path / "first")
    said = tmp_path / "said"
    process = victim.begin()
    for again in range(2):
        after = (logged_step(victim.root) if again else 0) + chance.randint(10, STEPS // 3)
        wait_for(lambda after=after: logged_step(victim.root) >= after, process)
        time.sleep(chance.uniform(0, 0.05))
        fill(small_disk)
        assert process.wait(PATIENCE) == 2
        folder = victim.folder
        refused((victim.said if not again else said).read_text(), folder)
        assert_whole(folder)
        (small_disk / "ballast").unlink()
        process = start(resume_command(folder), said)
    assert process.wait(PATIENCE) == 0, said.read_text()[-3000:]
    assert_same_run(folder, Victim(tmp_path / "reference", CHOSEN[kind], STEPS, chance).end())


def test_a_checkpoint_that_does_not_fit_is_one_line_and_costs_nothing(tmp_path):
    overrides = [*KINDS["gan"], "trainer.val_every=100"]
    victim = Victim(tmp_path / "victim", overrides, STEPS, random.Random(SEED))
    victim.killed_at("step", 120)
    last = victim.folder / "checkpoints" / "last.ckpt"
    before, limit = last.read_bytes(), last.stat().st_size // 2
    said = tmp_path / "said"
    process = start(
        resume_command(victim.folder), said, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert process.wait(PATIENCE) == 2, said.read_text()[-3000:]
    refused(said.read_text(), victim.folder)
    assert last.read_bytes() == before
    assert not list(last.parent.glob(".*"))
    assert_same_run(victim.end(), Victim(tmp_path / "reference", overrides, STEPS, random.Random(SEED)).end())
