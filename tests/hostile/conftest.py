"""Run commands on hostile input, in limits and watched; and the one rule for how each must end."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import pytest

from tests.conftest import ROOT
from tests.hostile.zygote import WRITES

# `uv run pytest -n 0 -m fuzz --hypothesis-profile ci` is the short form.
for profile, examples in (("default", 400), ("ci", 60)):
    hypothesis.settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
hypothesis.settings.load_profile("default")

PRIVATE = ("HOME", "TMPDIR", "TORCH_HOME", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR")  # folders
HARMLESS = ("git", "nvidia-smi", "lsb_release", "uname", "ldconfig")  # programs; Python itself starts the last two
MEMORY = 1 << 30  # bytes that a command may use on input that is refused, beyond what its imports take
SECONDS = 60.0


@dataclass
class Attempt:
    """How a command ended.

    Attributes:
        code: its exit code; negative for a signal.
        out: what it wrote to stdout.
        err: to stderr.
        events: programs started, connections made, files written: [event, argument, ...].
        seconds: of processor time that it took.
        grown: bytes by which its memory grew.
        made: paths that are there now and were not before, relative to the folder it ran in.
    """

    code: int
    out: str
    err: str
    events: list[list[str]]
    seconds: float
    grown: int
    made: set[str] = field(default_factory=set)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Thousands of inputs have no limit in common; each has its own."""
    for item in items:
        if item.get_closest_marker("fuzz"):
            item.add_marker(pytest.mark.timeout(0))


@dataclass
class Figures:
    """What all attempts together took."""

    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    memory: int = 0


class Commands:
    """`commands("sr", "upscale", ...)` in `folder`; see `zygote`."""

    def __init__(self, zygote: "subprocess.Popen[str]", folder: Path) -> None:
        self.zygote = zygote
        self.folder = folder
        self.figures = Figures()

    def __call__(
        self,
        *argv: object,
        seconds: float = SECONDS,
        imports: Sequence[str] = (),
        harmless: Sequence[str] = (),
        **environment: str,
    ) -> Attempt:
        before = self._tree()
        (self.folder / "home").mkdir(exist_ok=True)
        private = {name: str(self.folder / "home") for name in PRIVATE}
        env = {**private, "SR_OFFLINE": "1", "WANDB_MODE": "offline", "COLUMNS": "200", **environment}
        request: dict[str, object] = {"argv": list(map(str, argv)), "seconds": seconds, "imports": list(imports)}
        request |= {"cwd": str(self.folder), "env": env}
        assert self.zygote.stdin and self.zygote.stdout
        self.zygote.stdin.write(json.dumps(request) + "\n")
        self.zygote.stdin.flush()
        done = Attempt(**json.loads(self.zygote.stdout.readline()))
        done.made = {path for path in self._tree() - before if path.split("/")[0] != "home"}
        self.figures.inputs += 1
        self.figures.seconds += done.seconds
        self.figures.slowest = max(self.figures.slowest, done.seconds)
        self.figures.memory = max(self.figures.memory, done.grown)
        assert_contained(done, self.folder, harmless)
        return done

    def _tree(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


def assert_contained(done: Attempt, folder: Path, harmless: Sequence[str] = ()) -> None:
    """Holds for every input: bounded, no crash, no program started, no connection, nothing written elsewhere.

    `harmless` are programs that may be started all the same, and "socket" for those between its own processes.
    """
    assert "Traceback" not in done.err, done.err[-3000:]
    assert done.code >= 0, f"ended by signal {-done.code}: {done.err[-1000:]}"
    assert done.seconds < SECONDS
    for event, *arguments in done.events:
        if event == "open" or event in WRITES:
            places = arguments[:2] if event in ("os.rename", "os.link") else arguments[:1]
            for place in places:
                path = Path(folder, place).resolve()
                assert path.is_relative_to(folder.resolve()) or str(path).startswith("/dev/"), (event, place)
        else:
            local = "socket" in harmless and event == "socket.connect" and "family=1," in arguments[0]
            known = event == "subprocess.Popen" and Path(arguments[0]).name in (*HARMLESS, *harmless)
            assert local or known, (event, arguments)


def assert_refused(done: Attempt, *names: str, beside: int = 0) -> str:
    """The one rule: exit code 2, one line that names the thing, nothing left behind; returns the line.

    Args:
        done: the attempt.
        names: what the line must hold.
        beside: lines that may be on stderr besides, of what was done before.
    """
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert done.code == 2, (done.code, done.out[-500:], done.err[-2000:])
    assert len(lines) <= 1 + beside, done.err
    line = lines[-1]
    assert "error: " in line and len(line) < 1200, line
    for name in names:
        assert name in line, (name, line)
    assert done.grown < MEMORY, f"{done.grown >> 20} MiB"
    assert not done.made, done.made
    return line


@pytest.fixture(scope="session")
def _zygote() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.zygote"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()  # it has nothing to lose, and may take long to give back its memory
    process.wait()


@pytest.fixture
def commands(_zygote: "subprocess.Popen[str]", tmp_path: Path) -> Iterator[Commands]:
    """Runs `sr` and `train.py` in `tmp_path`; what they took is written with `-s`."""
    made = Commands(_zygote, tmp_path)
    yield made
    f = made.figures
    took = f"{f.inputs} inputs, {f.seconds:.0f} s, slowest {f.slowest:.1f} s, most memory {f.memory >> 20} MiB"
    sys.stdout.write(f"\n{took}\n")
