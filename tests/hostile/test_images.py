"""Any file under an image's name is used or refused in one line, wherever images are read."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sr_experiments.data.images import ImageFolder, ImageValidation
from sr_experiments.errors import SRError
from tests.hostile import pictures as made
from tests.hostile.conftest import assert_refused

BESIDE = 1  # the line that says which network is used


@pytest.fixture
def network(commands, weights):
    weights().rename(commands.folder / "net.pth")
    return "net.pth"


def special(folder: Path) -> dict[str, str]:
    """What isn't a file under an image's name, and what the line about it says."""
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "absent.png").symlink_to("nowhere")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "forbidden\n\x1b[31m.png").write_bytes(b"x")
    return {
        "pipe.png": "not a regular file",
        "zero.png": "not a regular file",
        "absent.png": "broken link",
        "loop.png": "",
        "forbidden": "",
    }


@pytest.mark.parametrize("name", made.good())
def test_what_is_odd_but_good_is_upscaled(commands, network, name):
    (commands.folder / name).write_bytes(made.good()[name])
    done = commands("sr", "upscale", name, "-o", "out.png", "--runtime", "torch", "-c", network)
    assert done.code == 0 and done.made == {"out.png"}, done.err
    width, height = Image.open(commands.folder / name).size
    assert Image.open(commands.folder / "out.png").size == (2 * width, 2 * height)


@pytest.mark.parametrize("name", made.ANIMATED)
def test_what_is_animated_stays_so_or_is_refused(commands, network, name):
    (commands.folder / name).write_bytes(made.bad()[name])
    done = commands("sr", "upscale", name, "-o", "out.png", "--runtime", "torch", "-c", network)
    assert done.code == 0 and done.made == {"out.png"}, done.err
    assert Image.open(commands.folder / "out.png").n_frames == 3
    done = commands("sr", "upscale", name, "-o", "out.jpg", "--runtime", "torch", "-c", network)
    assert_refused(done, name, beside=BESIDE)


@pytest.mark.parametrize("name", [name for name in made.bad() if name not in made.ANIMATED])
def test_what_is_bad_is_refused(commands, network, name):
    (commands.folder / name).write_bytes(made.bad()[name])
    done = commands("sr", "upscale", name, "-o", "out.png", "--runtime", "torch", "-c", network)
    assert_refused(done, name, beside=BESIDE)
    done = commands("sr", "upscale", name, "-o", "out", "--runtime", "torch", "-c", network)
    assert_refused(done, name, beside=BESIDE)


def test_what_is_no_file_is_named_and_the_rest_of_the_folder_is_upscaled(commands, network):
    folder = commands.folder / "in"
    folder.mkdir()
    (folder / "good.png").write_bytes(made.encoded("PNG"))
    (folder / "folder.png").mkdir()
    expected = special(folder)
    done = commands("sr", "upscale", "in", "-o", "out", "--runtime", "torch", "-c", network)
    assert done.code == 1
    assert done.made == {"out", "out/good.png"}
    lines = [line for line in done.err.splitlines() if "can't read" in line or "broken link" in line]
    assert len(lines) == len(expected) and "\x1b" not in done.err
    for name, said in expected.items():
        [line] = [line for line in lines if name in line]
        assert said in line
    for name in ("in/pipe.png", "in/zero.png", "in/absent.png", "in/loop.png"):
        assert_refused(commands("sr", "upscale", name, "-o", "one.png", "--runtime", "torch", "-c", network), name)


@pytest.mark.slow
def test_bad_images_among_those_to_evaluate_on(commands, network):
    hr = commands.folder / "hr"
    hr.mkdir()
    bad = {**made.bad(), "pipe.png": None}
    (hr / "a.png").write_bytes(made.encoded("PNG", made.picture(32, 32)))
    for name, content in bad.items():
        if content is None:
            os.mkfifo(hr / name)
        else:
            (hr / name).write_bytes(content)
        done = commands("sr", "evaluate", "--checkpoint", network, "--hr", "hr", "--images")
        if name not in made.ANIMATED:  # of which the first picture is measured
            assert_refused(done, name)
        (hr / name).unlink()


@pytest.mark.parametrize("name", [*made.bad(), "pipe.png"])
def test_bad_images_among_those_to_train_on(tmp_path, name):
    (tmp_path / "a.png").write_bytes(made.encoded("PNG", made.picture(64, 64)))
    if name == "pipe.png":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(made.bad()[name])
    if name in made.ANIMATED:  # too small for the crop, which is said
        with pytest.raises(SRError, match=name):
            ImageFolder(str(tmp_path), crop=32, scale=2)
        return
    with pytest.raises(SRError, match=name) as stopped:
        crops = ImageFolder(str(tmp_path), crop=8, scale=2)
        for index in range(2):
            crops.load(index)
    assert "\n" not in str(stopped.value)
    with pytest.raises(SRError, match=name):
        validation = ImageValidation(str(tmp_path), 2)
        for index in range(2):
            validation[index]
    skipping = ImageFolder(str(tmp_path), crop=8, scale=2, on_error="skip")
    assert all(skipping[index]["hr"].shape == (3, 8, 8) for index in range(6))


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", made.WHOLE)
def test_damaged_images(commands, network, kind):
    """Cut short anywhere, any bytes changed: what Pillow reads is upscaled, the rest refused."""
    whole, name = made.WHOLE[kind](), f"x.{kind}"

    @given(st.integers(0, len(whole)), st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 255)),
                                                max_size=6))  # fmt: skip
    def attempt(length, flips):
        content = bytearray(whole if flips else whole[:length])
        for position, bits in flips:
            content[position] ^= bits
        (commands.folder / name).write_bytes(content)
        done = commands("sr", "upscale", name, "-o", "out.png", "--runtime", "torch", "-c", network, "--tile", "96")
        if done.code == 0:
            assert done.made == {"out.png"}
            (commands.folder / "out.png").unlink()
        else:
            assert_refused(done, name, beside=BESIDE)

    attempt()
