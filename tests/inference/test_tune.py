"""`sr tune`: settings side by side on a few frames, with their time and the command of each."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from sr_experiments.display.pictures import GAP, LABEL_HEIGHT
from tests.inference.films import film, write

PLAIN = ["--device", "cpu", "--precision", "fp32"]


def test_a_video_by_two_networks_and_two_strengths(sr, weights, tmp_path):
    source = write(tmp_path / "in.mp4", film(12))
    both = ["-c", weights("msrresnet", 2), "-c", weights("frvsr", 4)]
    more = ["--strength", "0.5", "--strength", "1", "--frames", "2", "--crop", "48", "--html"]
    done = sr("tune", source, "-o", tmp_path / "sheet.png", *both, *more, *PLAIN)
    assert done.code == 0, done.err
    sheet = np.array(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * (48 + LABEL_HEIGHT) + GAP, 5 * (48 + GAP) - GAP, 3)  # bicubic and four settings
    lines = done.out.splitlines()
    assert lines[-1] == f"wrote {tmp_path}/sheet.png and {tmp_path}/sheet.html" and len(lines) == 5
    assert re.fullmatch(
        r"msrresnet_x2_0 0\.5: \d+\.\d\d s a frame, .* in all: .*sr upscale .* --strength 0\.5", lines[0]
    )
    assert (tmp_path / "sheet.html").is_file()


def test_the_command_makes_the_size_that_is_shown(sr, weights, tmp_path):
    """A network that enlarges by 2 is shown, beside one by 4, at the size of the latter."""
    Image.fromarray(film(1)[0]).save(tmp_path / "in.png")
    both = ["-c", weights("msrresnet", 2), "-c", weights("msrresnet", 4)]
    done = sr("tune", tmp_path / "in.png", "-o", tmp_path / "sheet.png", *both, *PLAIN)
    assert done.code == 0, done.err
    sheet = np.array(Image.open(tmp_path / "sheet.png"))
    for number, line in enumerate(done.out.splitlines()[:2], 1):
        command = shlex.split(line.split(": ")[-1])
        assert sr(*command[command.index("upscale") :], *PLAIN, "--overwrite").code == 0
        large = np.array(Image.open(tmp_path / "in_large.png"))
        assert large.shape == (96, 128, 3)
        left = number * (128 + GAP)
        np.testing.assert_array_equal(sheet[LABEL_HEIGHT:, left : left + 128], large)


def test_a_clip_of_fewer_frames_is_shown_whole(sr, weights, tmp_path):
    source = write(tmp_path / "in.mp4", film(4))
    more = ["-c", weights("msrresnet", 2), "--frames", "8", "--crop", "48", *PLAIN]
    done = sr("tune", source, "-o", tmp_path / "sheet.png", *more)
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "sheet.png").height == 4 * (48 + LABEL_HEIGHT) + 3 * GAP


def test_noise_removal_is_one_of_the_settings(sr, weights, tmp_path):
    Image.fromarray(film(1)[0]).save(tmp_path / "in.png")
    more = ["--strength", "0.5", "--strength", "1", "--denoise", "0", "--denoise", "10"]
    done = sr("tune", tmp_path / "in.png", "-o", tmp_path / "sheet.png", "-c", weights("msrresnet", 2), *more, *PLAIN)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split(":")[0].split(" ", 1)[1] for line in lines[:-1]] == [
        "0.5", "0.5 denoise 10", "1", "1 denoise 10"
    ]  # fmt: skip
    assert lines[3].endswith("--strength 1 --denoise 10")
    command = shlex.split(lines[3].split(": ")[-1])
    done = sr(*command[command.index("upscale") :], *PLAIN)
    assert done.code == 0, done.err
    sheet, large = np.array(Image.open(tmp_path / "sheet.png")), np.array(Image.open(tmp_path / "in_large.png"))
    np.testing.assert_array_equal(sheet[LABEL_HEIGHT:, 4 * (64 + GAP) :], large)


def test_an_image_is_what_sr_upscale_makes(sr, weights, tmp_path):
    Image.fromarray(film(1)[0]).save(tmp_path / "in.png")
    arguments = ("-c", weights(), *PLAIN)
    done = sr("tune", tmp_path / "in.png", "-o", tmp_path / "sheet.png", *arguments)
    assert done.code == 0, done.err
    assert sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", *arguments).code == 0
    alone, sheet = (np.array(Image.open(tmp_path / name)) for name in ("out.png", "sheet.png"))
    np.testing.assert_array_equal(sheet[LABEL_HEIGHT:, 64 + GAP :], alone)


@pytest.mark.parametrize(
    ("given", "said"),
    [("absent.mp4", "no file"), (".", "is a folder"), ("in.png", "sheet.png exists: give --overwrite")],
)
def test_mistakes_are_one_line(sr, weights, tmp_path, given, said):
    Image.fromarray(film(1)[0]).save(tmp_path / "in.png")
    (tmp_path / "sheet.png").write_bytes(b"mine")
    done = sr("tune", tmp_path / given, "-o", tmp_path / "sheet.png", "-c", weights(), *PLAIN)
    assert done.code == 2 and said in done.err
    assert (tmp_path / "sheet.png").read_bytes() == b"mine"


def test_a_rotated_video_is_shown_upright(sr, weights, tmp_path):
    write(tmp_path / "in.mp4", film(2, 24, 32), rotation=90)
    arguments = ("--frames", "1", "-c", weights("msrresnet", 2), *PLAIN)
    done = sr("tune", tmp_path / "in.mp4", "-o", tmp_path / "sheet.png", *arguments)
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "sheet.png").size == (2 * 48 + GAP, 64 + LABEL_HEIGHT)


def test_an_animation_is_a_video(sr, weights, tmp_path):
    first, *others = map(Image.fromarray, film(4))
    first.save(tmp_path / "in.gif", save_all=True, append_images=others)
    arguments = ("--frames", "2", "-c", weights("msrresnet", 2), *PLAIN)
    done = sr("tune", tmp_path / "in.gif", "-o", tmp_path / "sheet.png", *arguments)
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "sheet.png").height == 2 * (48 + LABEL_HEIGHT) + GAP
    assert "in_large.gif" in done.out
