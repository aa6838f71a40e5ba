"""Folders of frames: in order, of one size, through a recurrent network, into PNGs or a video."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from sr_experiments.data.image_files import read_image
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.images import Picture, write_picture
from sr_experiments.inference.options import Options
from sr_experiments.inference.video import resume
from sr_experiments.inference.video.upscale import Summary, upscale_frames
from sr_experiments.video.source import VideoSource
from tests.inference.films import QUIET, Nearest, film, times
from tests.inference.test_video_resume import CUT, frvsr, shots, stop_at


def folder(path: Path, frames: list[np.ndarray]) -> Path:
    """Frames whose natural order isn't the alphabetical one."""
    path.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame{i}.bmp")
    return path


def upscale(engine: Engine, source: Path, target: Path, **options: object) -> Summary:
    return upscale_frames(engine, source, target, Options(**options), QUIET)  # type: ignore[arg-type]


def images(path: Path, count: int) -> list[np.ndarray]:
    return [read_image(path / f"frame{i}.png") for i in range(count)]


def test_frames_come_out_under_their_names_in_the_state_of_the_clip(tmp_path):
    frames = film(12)
    done = upscale(frvsr(), folder(tmp_path / "in", frames), tmp_path / "shot.001")
    assert (done.frames, done.width, done.height) == (12, 64, 48)
    assert len(list((tmp_path / "shot.001").iterdir())) == 12
    engine = frvsr()
    for small, large in zip(frames, images(tmp_path / "shot.001", 12), strict=True):
        np.testing.assert_array_equal(large, engine.next_frame(small))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "shot.001"}


@pytest.mark.slow
def test_a_cut_begins_anew_unless_told_not_to(tmp_path):
    source, frames = folder(tmp_path / "in", shots()), shots()
    upscale(frvsr(), source, tmp_path / "cut")
    upscale(frvsr(), source, tmp_path / "blind", scene_cuts=False)
    cut, blind = images(tmp_path / "cut", 20), images(tmp_path / "blind", 20)
    engine = frvsr()
    for number in range(CUT, 20):
        np.testing.assert_array_equal(cut[number], engine.next_frame(frames[number]))
    np.testing.assert_array_equal(cut[CUT - 1], blind[CUT - 1])
    assert (cut[CUT] != blind[CUT]).any()


@pytest.mark.parametrize("frame", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (7, 12, 17))])
def test_a_resumed_folder_equals_an_uninterrupted_one(tmp_path, monkeypatch, frame):
    monkeypatch.setattr(resume, "SEGMENT", 6)
    source = folder(tmp_path / "in", shots())
    upscale(frvsr(), source, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        upscale(stop_at(frvsr(), frame, KeyboardInterrupt()), source, tmp_path / "out")
    if frame > 6:
        with pytest.raises(SRError, match="out is unfinished: give --resume"):
            upscale(frvsr(), source, tmp_path / "out")
    upscale(frvsr(), source, tmp_path / "out", resume=True)
    for one, other in zip(images(tmp_path / "whole", 20), images(tmp_path / "out", 20), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not (tmp_path / ".out.partial").exists()
    assert "finished before" in upscale(frvsr(), source, tmp_path / "out", resume=True).notes[0]


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(10.0, Fraction(10)), (5.0, Fraction(5)), (23.976, Fraction(24000, 1001)), (12.5, Fraction(25, 2))],
)
def test_frames_become_a_video_at_the_rate_asked_for(tmp_path, fps, rate):
    frames = [frame.repeat(2, 0).repeat(2, 1) for frame in film(8)]
    engine = Engine(Nearest(), "cpu", "fp32")
    upscale(engine, folder(tmp_path / "in", frames), tmp_path / "out.mp4", fps=fps, crf=5)
    assert times(tmp_path / "out.mp4") == [i / rate for i in range(8)]
    for (_, large), small in zip(VideoSource(tmp_path / "out.mp4").frames(), frames, strict=True):
        assert np.abs(large[::2, ::2].astype(int) - small).mean() < 4


@pytest.mark.parametrize("target", ["out", "out.mp4"])
def test_what_frames_lose_is_said(tmp_path, target):
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    for i, frame in enumerate(film(2)):
        deep = frame.astype(np.uint16) * 257
        write_picture(tmp_path / "in" / f"{i}.png", Picture(deep, deep[..., :1], profile))
    notes = upscale(frvsr(), tmp_path / "in", tmp_path / target, fps=25 if target.endswith("4") else None).notes
    for lost in ("transparency was lost", "read with 8 bits per channel", "colour profile of"):
        assert [lost in note for note in notes].count(True) == 1, notes


def test_a_network_for_grey_takes_grey_frames(tmp_path):
    torch.manual_seed(0)
    small = {"name": "resnet", "features": 8, "blocks": 1}
    engine = Engine(GENERATORS["frvsr"](scale=2, channels=1, srnet=small), "cpu", "fp32")
    frames = [frame[..., 0] for frame in film(4)]
    upscale(engine, folder(tmp_path / "in", frames), tmp_path / "out")
    engine.start_clip()
    for frame, large in zip(frames, images(tmp_path / "out", 4), strict=True):
        np.testing.assert_array_equal(large, engine.next_frame(frame[..., None]).repeat(3, 2))
    with pytest.raises(SRError, match="frame 2 is in colour, but the network is for grey"):
        upscale(engine, folder(tmp_path / "mixed", [*frames[:2], film(1)[0]]), tmp_path / "none")


def test_mistakes_are_one_line(tmp_path):
    engine, source = frvsr(), folder(tmp_path / "in", film(4))
    with pytest.raises(SRError, match=r"out\.mp4 needs a frame rate: give --fps"):
        upscale(engine, source, tmp_path / "out.mp4")
    with pytest.raises(SRError, match=r"out\.avi: choose one of \.mp4"):
        upscale(engine, source, tmp_path / "out.avi", fps=25)
    (tmp_path / "there").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "there" / "frame2.png")
    with pytest.raises(SRError, match=r"frame2\.png exists: give --overwrite to replace"):
        upscale(engine, source, tmp_path / "there")
    Image.new("RGB", (20, 20)).save(source / "frame3.bmp")
    with pytest.raises(SRError, match=r"frame3\.bmp is 20x20, the first one 32x24: all must have one size"):
        upscale(engine, source, tmp_path / "out")
    Image.new("RGB", (32, 24)).save(source / "frame3.bmp")
    Image.new("RGB", (32, 24)).save(source / "frame3.png")
    with pytest.raises(SRError, match=r"two frames would both become .*frame3\.png"):
        upscale(engine, source, tmp_path / "out")


def test_a_changed_frame_is_another_input(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SEGMENT", 2)
    source = folder(tmp_path / "in", film(6))
    with pytest.raises(KeyboardInterrupt):
        upscale(stop_at(frvsr(), 5, KeyboardInterrupt()), source, tmp_path / "out")
    os.utime(source / "frame4.bmp", (1, 1))
    with pytest.raises(SRError, match="different input"):
        upscale(frvsr(), source, tmp_path / "out", resume=True)


def test_a_damaged_first_frame_is_one_line(tmp_path):
    frames = folder(tmp_path / "in", film(2))
    (frames / "frame0.bmp").write_bytes(b"BM")
    with pytest.raises(SRError, match=r"can't read image .*frame0\.bmp: "):
        upscale(Nearest(), frames, tmp_path / "out.mp4", fps=25)
