"""Animated GIF, WebP, AVIF and PNG become videos with the times of their frames."""

import numpy as np
import pytest
from PIL import Image

from sr_experiments.video.source import VideoSource
from tests.inference.films import film, rgb, times

DURATIONS = [100, 50, 200, 100]


def animated(path, frames, **options):
    first, *others = (Image.fromarray(frame) for frame in frames)
    lossy = {".avif": {"quality": 95}, ".webp": {"lossless": True}}.get(path.suffix, {})
    first.save(path, save_all=True, append_images=others, duration=DURATIONS, **lossy, **options)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".avif", ".png"])
def test_an_animation_becomes_a_video_of_its_frames_at_their_times(sr, weights, tmp_path, suffix):
    frames = [np.full((24, 32, 3), level, np.uint8) for level in (20, 90, 160, 230)]
    source = animated(tmp_path / f"in{suffix}", frames)
    arguments = ("-c", weights("msrresnet", 2), "--strength", "0", "--device", "cpu")
    done = sr("upscale", source, "-o", tmp_path / "out.mkv", "--lossless", *arguments)
    assert done.code == 0, done.err
    assert [float(time) for time in times(tmp_path / "out.mkv")] == [0, 0.1, 0.15, 0.35]
    for made, frame in zip(rgb(tmp_path / "out.mkv"), frames, strict=True):
        assert made.shape == (48, 64, 3) and np.abs(made.astype(int) - frame[0, 0, 0]).max() <= 4


def test_transparency_is_kept_or_said_to_be_lost(sr, weights, tmp_path):
    frames = [np.dstack((frame, np.full((24, 32), 255 - 60 * i, np.uint8))) for i, frame in enumerate(film(4))]
    source, arguments = animated(tmp_path / "in.webp", frames), ("-c", weights("msrresnet", 2), "--device", "cpu")
    assert sr("upscale", source, "-o", tmp_path / "out.mkv", *arguments).code == 0
    assert VideoSource(tmp_path / "out.mkv").alpha
    done = sr("upscale", source, "-o", tmp_path / "out.mp4", *arguments)
    assert done.code == 0 and "transparency was lost" in done.err


def test_a_still_picture_makes_no_video_and_an_animation_no_still_one(sr, weights, tmp_path):
    arguments = ("-c", weights(), "--device", "cpu")
    Image.fromarray(film(1)[0]).save(tmp_path / "still.webp")
    done = sr("upscale", tmp_path / "still.webp", "-o", tmp_path / "out.mkv", *arguments)
    assert done.code == 2 and "still.webp is a single image: to make a video" in done.err
    for name in ("in.webp", "in.gif"):
        done = sr("upscale", animated(tmp_path / name, film(4)), "-o", tmp_path / "out.jpg", *arguments)
        assert done.code == 2 and f"{name} is animated, and .jpg is not: choose an output in one of .gif" in done.err
    (tmp_path / "cut.gif").write_bytes(animated(tmp_path / "in.gif", film(4)).read_bytes()[:900])
    done = sr("upscale", tmp_path / "cut.gif", "-o", tmp_path / "out.mkv", *arguments)
    assert done.code == 2 and "cut.gif" in done.err and done.err.count("error: ") == 1
    assert not list(tmp_path.glob("out*"))
