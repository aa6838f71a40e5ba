"""Real processes to be killed, and when."""

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
import yaml
from PIL import Image

from tests.conftest import ROOT
from tests.same_runs import logged_step

PATIENCE = 1800.0  # seconds: the machine may be halted in between
KILLS = int(os.environ.get("SR_CRASH_KILLS", "36"))  # of trainings, over all kinds
SHORT = KILLS < 18  # with fewer steps, too
SEED = int(os.environ.get("SR_CRASH_SEED", "0"))
MOMENTS = ("step", "saving", "saved", "start")


def start(arguments: Sequence[str], said: Path, preparation: Callable[[], None] | None = None) -> subprocess.Popen:
    """Start a command in a session of its own; what it says is appended to a file."""
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    with said.open("a") as file:
        return subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=preparation,
        )


def training(*overrides: str) -> list[str]:
    return [sys.executable, "train.py", *overrides]


def kill(process: subprocess.Popen) -> bool:
    """SIGKILL the process, then what it has started; whether it was alive."""
    children = []
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    killed = process.wait(60) == -signal.SIGKILL
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()
    return killed


def wait_for(condition: Callable[[], object], process: subprocess.Popen, every: float = 0.002) -> None:
    """Until it holds or the process has ended."""
    give_up = time.monotonic() + PATIENCE
    while not condition() and process.poll() is None:
        assert time.monotonic() < give_up, "nothing happened"
        time.sleep(every)


def resume_command(folder: Path) -> list[str]:
    """What config.yaml says one should type to go on."""
    [line] = [line for line in (folder / "config.yaml").read_text().splitlines() if "train.py resume=" in line]
    words = shlex.split(line.lstrip("# "))
    return [sys.executable, *words[words.index("train.py") :]]


@dataclass
class Victim:
    """A training that is killed over and over, and resumed by its own command."""

    root: Path
    overrides: list[str]
    steps: int
    random: random.Random
    kills: dict[str, int] = field(default_factory=dict)
    lost: int = 0  # kills before the first checkpoint
    log: Path | None = None

    @property
    def said(self) -> Path:
        return self.log or self.root.with_suffix(".log")

    @property
    def folder(self) -> Path | None:
        """The run's, newest if it was begun more than once."""
        return max(self.root.glob("*/*"), default=None, key=lambda path: path.stat().st_mtime_ns)

    @property
    def killed(self) -> int:
        """How often, so far."""
        return sum(self.kills.get(moment, 0) for moment in MOMENTS)

    def begin(self) -> subprocess.Popen:
        """Start, or go on if there is something to go on from."""
        if self.folder is not None and (self.folder / "checkpoints" / "last.ckpt").is_file():
            return start(resume_command(self.folder), self.said)
        if self.folder is not None:
            self.lost += 1
            for stale in self.root.glob("*/*"):
                stale.rename(self.root.parent / f"{self.root.name}_lost_{self.lost}")
        return start(training(*self.overrides, f"output_dir={self.root}"), self.said)

    def killed_at(self, moment: str, after: int) -> None:
        """One more kill, after a step, at a moment; it must hit."""
        process = self.begin()
        if moment == "start":
            delay = self.random.uniform(0.2, 8.0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay)
            print(f"  kill {self.killed + 1}: {delay:.2f} s after the start")  # noqa: T201
        else:
            wait_for(lambda: logged_step(self.root) >= after, process)
            if moment == "step":
                time.sleep(self.random.uniform(0, 0.05))
            elif moment == "saving":
                wait_for(self._temporary, process, every=0)
            else:
                before = self._inode()
                wait_for(lambda: self._inode() != before, process, every=0)
            print(f"  kill {self.killed + 1}: {moment}, from step {after} on")  # noqa: T201
        assert kill(process), f"it ended before it was killed:\n{self.said.read_text()[-3000:]}"
        self.kills[moment] = self.kills.get(moment, 0) + 1
        if moment == "saving" and self._temporary():
            self.kills["half a checkpoint left"] = self.kills.get("half a checkpoint left", 0) + 1
        if self.folder is not None:
            assert_whole(self.folder)

    def end(self) -> Path:
        """Go on to the end."""
        before = len(self.said.read_text()) if self.said.is_file() else 0  # data workers say that a killed run is gone
        process = self.begin()
        assert process.wait(PATIENCE) == 0, self.said.read_text()[-3000:]
        assert "Traceback" not in self.said.read_text()[before:]
        assert self.folder is not None
        return self.folder

    def _temporary(self) -> list[Path]:
        return list(self.folder.glob("checkpoints/.*.tmp")) if self.folder else []

    def _inode(self) -> int:
        try:
            return (self.folder / "checkpoints" / "last.ckpt").stat().st_ino if self.folder else 0
        except OSError:
            return 0


def assert_whole(folder: Path) -> None:
    """Whatever has its final name is whole."""
    for path in folder.glob("checkpoints/[!.]*"):
        torch.load(path, weights_only=True)
    for path in folder.glob("samples/**/[!.]*.png"):
        Image.open(path).load()
    for name in ("summary.json", "running.json"):
        if (folder / name).is_file():
            json.loads((folder / name).read_text())
    if (folder / "config.yaml").is_file():
        assert yaml.safe_load((folder / "config.yaml").read_text())["resume"] is None
