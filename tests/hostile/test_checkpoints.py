"""Any file given as a checkpoint is used or refused in one line, quickly, and nothing in it is run."""

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from sr_experiments.generators.compact import Compact
from tests.checkpoints import ncnn_files
from tests.conftest import others_slow
from tests.hostile import checkpoints as made
from tests.hostile.conftest import assert_refused


@pytest.fixture
def upscale(commands):
    """`upscale(checkpoint)` of one small picture."""
    Image.fromarray(np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)).save(commands.folder / "in.png")
    arguments = ("in.png", "-o", "out.png", "--device", "cpu", "--runtime", "torch", "-c")
    return lambda file: commands("sr", "upscale", *arguments, file, imports=("spandrel",))


def assert_used_or_refused(done, file, folder):
    if done.code == 0:
        assert Image.open(folder / "out.png").size == (18, 16) and done.made == {"out.png"}
        (folder / "out.png").unlink()
    else:
        assert_refused(done, file.name)


@pytest.mark.parametrize("style", others_slow(["zip"], ["zip", "pickle 2", "pickle 4", "inside weights"]))
def test_code_in_a_pickle_is_refused_and_never_runs(upscale, commands, style):
    trace, file = commands.folder / "ran", commands.folder / "x.pth"
    for name, call in made.calls(trace).items():
        if style == "zip":
            made.zipped(file, {"params": {"conv_first.weight": call}})
        elif style == "inside weights":
            made.zipped(file, {"params": {**made.tiny_calls(), "extra": call}, "state_dict": {"a": call}})
        else:
            file.write_bytes(pickle.dumps({"params": call}, int(style[-1])))
        done = upscale("x.pth")
        assert_refused(done, "x.pth")
        assert not trace.exists(), name
        assert not [e for e in done.events if e[0] in ("os.system", "subprocess.Popen", "socket.connect")], name


@pytest.mark.parametrize("kind", made.absurd(None))  # type: ignore[arg-type]
def test_tensors_and_networks_of_absurd_size(upscale, commands, kind):
    file = commands.folder / "x.pth"
    made.absurd(file)[kind]()
    assert_refused(upscale("x.pth"), "x.pth")


@pytest.mark.parametrize("kind", made.bombs(None))  # type: ignore[arg-type]
def test_archives_that_unpack_to_gibibytes(upscale, commands, kind):
    made.bombs(commands.folder / "x.pth")[kind]()
    done = upscale("x.pth")
    assert_refused(done, "x.pth")
    assert done.seconds < 10


def test_lying_safetensors(upscale, commands):
    for content in made.lying_safetensors().values():
        (commands.folder / "x.safetensors").write_bytes(content)
        assert_refused(upscale("x.safetensors"), "x.safetensors")


def test_lying_files_of_ncnn(upscale, commands):
    for param, content in made.lying_ncnn().values():
        (commands.folder / "x.param").write_text(param, errors="surrogateescape")
        (commands.folder / "x.bin").write_bytes(content)
        assert_refused(upscale("x.param"), "x.")


@pytest.mark.slow
@pytest.mark.parametrize("style", ["export", "run"])
def test_records_that_no_training_wrote(upscale, commands, style):
    for name, record in made.records().items():
        if style == "run":
            file = commands.folder / "x.ckpt"
            state = {f"generator.{k}": t for k, t in made.tiny().items()}
            torch.save({"state_dict": state, "sr_experiments": {"step": 1, **record} if isinstance(record, dict) else
                        record}, file)  # fmt: skip
        else:
            file = commands.folder / "x.safetensors"
            save_file(made.tiny(), file, {"sr_experiments": json.dumps(record)})
        done = upscale(file.name)
        assert not (commands.folder / "ran").exists(), name
        assert_refused(done, "x.")


@pytest.mark.parametrize("kind", ["checkpoints", "unknown networks"])
def test_weights_that_are_no_numbers(upscale, commands, kind):
    for value in (float("nan"), float("inf")):
        state = made.tiny()
        state["conv_hr.weight"][0, 0, 0, 0] = value
        if kind != "checkpoints":
            state = {"net": torch.full((2, 2), value)}
        torch.save(state, commands.folder / "x.pth")
        assert_refused(upscale("x.pth"), "x.pth", *(["NaN or infinit"] if kind == "checkpoints" else []))


def test_what_is_no_file(upscale, commands):
    import os

    os.mkfifo(commands.folder / "pipe.pth")
    (commands.folder / "zero.pth").symlink_to("/dev/zero")
    (commands.folder / "folder.pth").mkdir()
    (commands.folder / "loop.pth").symlink_to("loop.pth")
    (commands.folder / "in\nvented.pth").write_bytes(b"x")
    for name in ("pipe.pth", "zero.pth", "folder.pth", "loop.pth", "in\nvented.pth", "n" * 300):
        assert_refused(upscale(name), name[:2])


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", ["pth", "old.pth", "safetensors", "ckpt", "param", "bin"])
def test_damaged_files(upscale, commands, kind):
    """Cut short anywhere, any bytes changed: used as they are, or refused."""
    file = commands.folder / f"x.{kind}"
    if kind == "safetensors":
        record = {"format": 1, "generator": made.records()["format of text"]["generator"]}
        save_file(made.tiny(), file, {"sr_experiments": json.dumps(record)})
    elif kind in ("param", "bin"):
        ncnn_files.compact(Compact(scale=2, features=4, convolutions=1), half=True).save(commands.folder / "x")
    elif kind == "ckpt":
        record = {"format": 1, "step": 1, "generator": made.records()["format of text"]["generator"]}
        state = {f"generator.{k}": t for k, t in made.tiny().items()}
        torch.save({"state_dict": state, "sr_experiments": record}, file)
    else:
        torch.save({"params": made.tiny()}, file, _use_new_zipfile_serialization=kind == "pth")
    whole = file.read_bytes()
    where = st.integers(0, len(whole) - 1)
    # Most of a file is weights: look at the rest of it more often.
    telling = st.sampled_from([i for i in range(len(whole)) if i < 1500 or i > len(whole) - 3000])

    @given(st.one_of(where, telling), st.lists(st.tuples(st.one_of(telling, where), st.integers(1, 255)), max_size=4))
    def attempt(length, flips):
        content = bytearray(whole if flips else whole[:length])
        for position, bits in flips:
            content[position] ^= bits
        file.write_bytes(content)
        assert_used_or_refused(upscale(file.name), file, commands.folder)

    attempt()
