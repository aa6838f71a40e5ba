"""Animations are written as GIF, WebP, AVIF and PNG, and read here by Pillow and FFmpeg."""

import av
import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.conftest import others_slow
from tests.inference.films import film, write
from tests.inference.test_animation import DURATIONS, animated

SUFFIXES = [".gif", ".webp", ".avif", ".png"]
LEVELS = (20, 90, 160, 230)
BICUBIC = ("--strength", "0", "--device", "cpu")


def shown(path):
    """Pillow's frames as RGBA, the time that each is shown, and how often the animation is shown (0: forever)."""
    with Image.open(path) as image:
        frames, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.array(image.convert("RGBA")))
            durations.append(round(image.info["duration"]))
        loop = image.info.get("loop")
        plays = 1 if loop is None else loop + (image.format == "GIF" and loop > 0)
    return frames, durations, 0 if path.suffix == ".avif" else plays


@pytest.mark.parametrize(
    ("given", "made"), [*((s, s) for s in SUFFIXES), (".gif", ".webp"), (".webp", ".gif"), (".png", ".avif")]
)
def test_frames_durations_and_loops_are_kept(sr, weights, tmp_path, given, made):
    frames = [np.full((24, 32, 3), level, np.uint8) for level in LEVELS]
    loops = {".gif": {"loop": 2}, ".webp": {"loop": 3}, ".png": {"loop": 3}}.get(given, {})
    source = animated(tmp_path / f"in{given}", frames, **loops)
    done = sr("upscale", source, "-o", tmp_path / f"out{made}", "-c", weights("msrresnet", 2), *BICUBIC)
    assert done.code == 0, done.err
    large, durations, plays = shown(tmp_path / f"out{made}")
    assert durations == DURATIONS and plays == (3 if loops and made != ".avif" else 0)
    assert ("3 times" in done.err) == (given != ".avif" and made == ".avif")
    for frame, level in zip(large, LEVELS, strict=True):
        assert frame.shape == (48, 64, 4) and np.abs(frame[..., :3].astype(int) - level).max() <= 4
        assert frame[..., 3].min() == 255


def test_a_picture_for_programs_without_animations_is_no_frame(sr, weights, tmp_path):
    """A PNG may have one besides its frames, which others show if they know no animations."""
    frames = [np.full((24, 32, 3), level, np.uint8) for level in (LEVELS[-1], *LEVELS)]
    source = animated(tmp_path / "in.png", frames, default_image=True)
    done = sr("upscale", source, "-o", tmp_path / "out.png", "-c", weights("msrresnet", 2), *BICUBIC)
    assert done.code == 0 and f"still picture of {source} left out" in done.err, done.err
    large, durations, _ = shown(tmp_path / "out.png")
    assert durations == DURATIONS
    assert [round(float(frame[..., :3].mean())) for frame in large] == list(LEVELS)


def test_transparency_is_kept(sr, weights, tmp_path):
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[:, :16] = 0
    frames = [np.dstack((frame, np.roll(alpha, 4 * i, 1))) for i, frame in enumerate(film(4))]
    source = animated(tmp_path / "in.webp", frames)
    for suffix in SUFFIXES:
        target = tmp_path / f"out{suffix}"
        done = sr("upscale", source, "-o", target, "-c", weights("msrresnet", 2), *BICUBIC)
        assert done.code == 0 and ("partial transparency was lost" in done.err) == (suffix == ".gif"), done.err
        for i, frame in enumerate(shown(target)[0]):
            expected = np.roll(alpha, 4 * i, 1).repeat(2, 0).repeat(2, 1)
            assert np.mean(np.abs(frame[..., 3].astype(int) - expected) < 3) > 0.85, (suffix, i)


def test_other_readers_show_the_same(sr, weights, tmp_path):
    frames = [np.full((24, 32, 3), level, np.uint8) for level in LEVELS]
    source = animated(tmp_path / "in.webp", frames)
    for suffix in (".gif", ".png", ".avif"):
        target = tmp_path / f"out{suffix}"
        assert sr("upscale", source, "-o", target, "-c", weights("msrresnet", 2), *BICUBIC).code == 0
        with av.open(str(target)) as container:
            stream = container.streams.video[-1]
            made = [(float(f.pts * f.time_base), f.to_ndarray(format="gray")) for f in container.decode(stream)]
        assert [round(time, 2) for time, _ in made] == [0, 0.1, 0.15, 0.35], suffix
        for (_, frame), level in zip(made, LEVELS, strict=True):
            assert frame.shape == (48, 64) and np.abs(frame.astype(int) - level).max() <= 4


def test_a_part_of_an_animation(sr, weights, tmp_path):
    frames = [np.full((24, 32, 3), level, np.uint8) for level in LEVELS]
    arguments = ("--start", "0.1", "--end", "0.3", "-c", weights("msrresnet", 2), *BICUBIC)
    source = animated(tmp_path / "in.gif", frames)
    assert sr("upscale", source, "-o", tmp_path / "out.gif", *arguments).code == 0
    large, durations, _ = shown(tmp_path / "out.gif")
    assert durations == [50, 200] and [int(frame[0, 0, 0]) for frame in large] == [90, 160]
    done = sr("upscale", source, "-o", tmp_path / "no.gif", *arguments[4:], "--start", "9")
    assert done.code == 2 and "in.gif has no frame from 9 s on: it is 0.450 s long" in done.err


def test_lossless_quality_and_colour_profile(sr, weights, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = animated(tmp_path / "in.webp", film(4), icc_profile=profile)
    arguments = ("-c", weights("msrresnet", 2), *BICUBIC)
    assert sr("upscale", source, "-o", tmp_path / "out.png", *arguments).code == 0
    assert sr("upscale", source, "-o", tmp_path / "whole.webp", "--lossless", *arguments).code == 0
    assert sr("upscale", source, "-o", tmp_path / "small.webp", "--quality", "10", *arguments).code == 0
    expected, *_ = shown(tmp_path / "out.png")
    np.testing.assert_array_equal(expected, shown(tmp_path / "whole.webp")[0])
    assert (tmp_path / "small.webp").stat().st_size < (tmp_path / "whole.webp").stat().st_size / 4
    assert Image.open(tmp_path / "whole.webp").info["icc_profile"] == profile
    done = sr("upscale", source, "-o", tmp_path / "out.gif", *arguments)
    assert done.code == 0 and "the colour profile left out: .gif can't hold it" in done.err
    done = sr("upscale", source, "-o", tmp_path / "out.mkv", *arguments)
    assert done.code == 0 and "in.webp left out: .mkv can't hold it" in done.err
    tagged = animated(tmp_path / "tagged.webp", film(2), exif=Image.Exif(), xmp=b"<x/>")
    done = sr("upscale", tagged, "-o", tmp_path / "tagged.png", *arguments)
    assert done.code == 0 and "XMP of" in done.err and "tagged.webp left out" in done.err
    done = sr("upscale", source, "-o", tmp_path / "no.avif", "--lossless", *arguments)
    assert done.code == 2 and "an animation in .avif has no --lossless: choose .webp or .apng" in done.err


def test_a_video_or_a_folder_of_frames_becomes_an_animation(sr, weights, tmp_path):
    arguments = ("-c", weights("msrresnet", 2), *BICUBIC)
    source = write(tmp_path / "in.mkv", film(5), audio="aac", rotation=90)
    done = sr("upscale", source, "-o", tmp_path / "out.webp", *arguments)
    assert done.code == 0 and "audio left out: .webp can't hold it" in done.err
    frames, durations, plays = shown(tmp_path / "out.webp")
    assert frames[0].shape == (64, 48, 4) and durations == [40] * 5 and plays == 0
    done = sr("upscale", source, "-o", tmp_path / "out.png", *arguments)
    assert done.code == 2 and "is a video: choose .apng" in done.err
    for i, frame in enumerate(film(3)):
        (tmp_path / "frames").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / f"frames/{i}.png")
    done = sr("upscale", tmp_path / "frames", "-o", tmp_path / "out.apng", *arguments)
    assert done.code == 2 and "give --fps" in done.err
    assert sr("upscale", tmp_path / "frames", "-o", tmp_path / "out.apng", "--fps", "20", *arguments).code == 0
    assert shown(tmp_path / "out.apng")[1] == [50] * 3


def test_a_folder_of_pictures_and_animations(sr, weights, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.gif", "b.webp"):
        animated(tmp_path / "in" / name, film(4))
    Image.fromarray(film(1)[0]).save(tmp_path / "in/c.png")
    done = sr("upscale", tmp_path / "in", "-o", tmp_path / "out", "--format", "webp", "-c", weights(), *BICUBIC)
    assert done.code == 0, done.err
    counts = {path.name: getattr(Image.open(path), "n_frames", 1) for path in sorted((tmp_path / "out").iterdir())}
    assert counts == {"a.webp": 4, "b.webp": 4, "c.webp": 1}


def test_an_animated_jpeg_xl_is_refused(sr, weights, tmp_path):
    frames = np.stack(film(3))
    (tmp_path / "in.jxl").write_bytes(imagecodecs.jpegxl_encode(frames, lossless=True))
    done = sr("upscale", tmp_path / "in.jxl", "-o", tmp_path / "out.png", "-c", weights(), *BICUBIC)
    assert done.code == 2 and "in.jxl: it is an animation; make it a video, or a folder of frames" in done.err


@pytest.mark.parametrize("suffix", others_slow([".webp", ".png"], [".gif", ".webp", ".avif", ".png", ".apng"]))
def test_damaged_files_are_one_line_and_leave_nothing(sr, weights, tmp_path, suffix):
    named = ".png" if suffix == ".apng" else suffix
    whole = animated(tmp_path / f"in{named}", film(4)).read_bytes()
    arguments = ("-c", weights("msrresnet", 2), *BICUBIC)
    for content in (b"", whole[:60], whole[: len(whole) // 2], whole[: len(whole) * 3 // 4], b"nothing" * 99):
        (tmp_path / f"cut{suffix}").write_bytes(content)
        done = sr("upscale", tmp_path / f"cut{suffix}", "-o", tmp_path / "out.webp", *arguments)
        assert done.code == 2 and done.err.count("error: can't read image ") == 1, done.err
        assert f"cut{suffix}: " in done.err and done.err.rstrip().endswith("; replace or remove the file")
    assert not list(tmp_path.glob("*out*"))


def test_what_a_format_cannot_hold_is_refused_before_any_work(sr, weights, tmp_path):
    wide = animated(tmp_path / "wide.gif", [np.full((2, 9000, 3), level, np.uint8) for level in LEVELS])
    arguments = ("-c", weights("msrresnet", 2), *BICUBIC)
    done = sr("upscale", wide, "-o", tmp_path / "out.webp", *arguments)
    assert done.code == 2 and ".webp holds at most 16383 pixels a side, not 18000x4: give a size" in done.err
    long = tmp_path / "long.webp"
    first, second = map(Image.fromarray, film(2))
    first.save(long, save_all=True, append_images=[second], duration=700_000)
    done = sr("upscale", long, "-o", tmp_path / "out.gif", *arguments)
    assert done.code == 2 and "a frame is shown for 700 s, .gif holds 655.35 s" in done.err
    for option in ("--codec=h264", "--crf=20"):
        done = sr("upscale", long, "-o", tmp_path / "out.png", option, *arguments)
        assert done.code == 2 and f"{option.split('=')[0]} is for videos, and none is written" in done.err
    assert sorted(path.name for path in tmp_path.glob("*out*")) == []
