"""A run folder with any of its files missing, empty, cut short or of another kind: used, or refused in one line."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import TINY_MODEL, TINY_RUN
from tests.hostile.conftest import assert_refused

RUN = [*TINY_MODEL["msrresnet"], *TINY_RUN, "data.num_workers=0", "scale=2", "callbacks.samples.size=32"]
FILES = ("config.yaml", "summary.json", "metrics.csv", "train.log", "checkpoints/last.ckpt", "checkpoints/best.ckpt",
         "samples/step_00000004/sample_camera.png")  # fmt: skip
SHARE = st.floats(0, 1)
BESIDE = 4  # lines: what is read, left out or written on the way


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": _written(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "folder": _folder,
    "zeros": _written(bytes(1000)),
    "other": _written(b'{"a": [1, 2], "trainer": 3, "name": null}\n'),
}
# What each command leaves when it succeeds, besides the run folder.
COMMANDS: dict[str, tuple[list[str], set[str]]] = {
    "resume": (["train.py", "resume=run", "trainer.max_steps=6"], set()),
    "compare": (["sr", "compare", "run", "-o", "page.html"], {"page.html"}),
    "table": (["sr", "compare", "run", "--table"], set()),
    "runs": (["sr", "runs", "run"], set()),
    "upscale": (["sr", "upscale", "in.png", "-o", "out.png", "--runtime", "torch", "-c", "run"], {"out.png"}),
    "evaluate": (["sr", "evaluate", "--hr", "pictures", "-c", "run", "--csv", "out.csv"], {"out.csv"}),
    "export": (["sr", "export", "run", "-o", "out.safetensors", "--card"], {"out.safetensors", "out.md"}),
    "sync": (["sr", "sync", "run", "--list"], set()),
}


@pytest.fixture(scope="module")
def trained(_zygote, tmp_path_factory) -> Path:
    """A finished run."""
    from tests.hostile.conftest import Commands

    commands = Commands(_zygote, tmp_path_factory.mktemp("trained"))
    done = commands("train.py", *RUN, "output_dir=out", seconds=250)
    assert done.code == 0, done.err[-3000:]
    [folder] = (commands.folder / "out").glob("*/*")
    assert all((folder / name).stat().st_size for name in FILES)
    return folder


@pytest.fixture
def run(commands, trained) -> Path:
    """A copy of it in the folder that commands run in, with a picture beside it."""
    pixels = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    (commands.folder / "pictures").mkdir()
    for name in ("in.png", "pictures/0.png"):
        Image.fromarray(pixels).save(commands.folder / name)
    return Path(shutil.copytree(trained, commands.folder / "run"))


def attempt(commands, name: str) -> int:
    """Run a command: it ends well, with what it was to make, or in one line, with nothing made."""
    argv, makes = COMMANDS[name]
    done = commands(*argv)
    made = {path for path in done.made if not path.startswith("run/")}
    if done.code == 0:
        assert makes <= made | ({"out.md"} & makes), (name, made)
        for path in made:
            (commands.folder / path).unlink()
    else:
        done.made = made
        line = assert_refused(done, beside=BESIDE)
        assert "run" in line, line
    return done.code


@pytest.mark.parametrize("name", COMMANDS)
def test_a_whole_run_folder_is_used(commands, run, name):
    assert attempt(commands, name) == 0


DAMAGED = [
    ("resume", "config.yaml", "cut", 2),
    ("resume", "checkpoints/last.ckpt", "cut", 2),
    ("compare", "metrics.csv", "folder", 2),
    ("upscale", "checkpoints/best.ckpt", "cut", 2),
]
DAMAGED_TOO = [
    ("resume", "config.yaml", "missing", 2),
    ("resume", "config.yaml", "other", 2),
    ("resume", "summary.json", "cut", 0),
    ("resume", "summary.json", "folder", 2),
    ("resume", "metrics.csv", "folder", 2),
    ("compare", "config.yaml", "zeros", 2),
    ("compare", "summary.json", "other", 0),
    ("runs", "config.yaml", "missing", 2),
    ("upscale", "checkpoints/best.ckpt", "missing", 0),
    ("export", "summary.json", "zeros", 2),
]


@pytest.mark.parametrize(
    ("name", "file", "damage", "code"),
    [*DAMAGED, *(pytest.param(*row, marks=pytest.mark.slow) for row in DAMAGED_TOO)],
)
def test_damaged_files_that_matter(commands, run, name, file, damage, code):
    DAMAGES[damage](run / file)
    assert attempt(commands, name) == code


@pytest.mark.slow
def test_no_run_folder_at_all(commands, run):
    shutil.rmtree(run)
    for kind in ("absent", "empty", "file", "pipe", "loop"):
        if kind == "empty":
            run.mkdir()
        elif kind == "file":
            run.rmdir()
            run.write_text("x")
        elif kind in ("pipe", "loop"):
            run.unlink()
            os.mkfifo(run) if kind == "pipe" else run.symlink_to("run")
        for name in COMMANDS:
            if not (name == "upscale" and kind == "pipe"):  # tried with checkpoints
                assert attempt(commands, name) == 2, (name, kind)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_file_damaged_in_any_way(commands, run, trained, name, damage):
    for file in FILES:
        DAMAGES[damage](run / file)
        attempt(commands, name)
        shutil.rmtree(run)
        shutil.copytree(trained, run)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("evaluate", "export")])
def test_files_cut_anywhere_with_any_bytes_changed(commands, run, trained, name):
    @settings(max_examples=settings().max_examples // 4)
    @given(
        st.sampled_from(FILES), st.floats(0, 1), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4)
    )
    def tried(file, length, flips):
        content = bytearray((trained / file).read_bytes())
        if not flips:
            content = content[: int(length * len(content))]
        for place, bits in flips:
            content[min(int(place * len(content)), len(content) - 1)] ^= bits
        (run / file).write_bytes(content)
        attempt(commands, name)
        shutil.rmtree(run)
        shutil.copytree(trained, run)

    tried()
