"""Interrupted videos keep what is finished, and go on to exactly what an uninterrupted run gives."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from rich.console import Console

from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video import network, resume
from sr_experiments.inference.video.upscale import upscale_video
from sr_experiments.video.colour import FromRGB, ToRGB
from sr_experiments.video.encode import SegmentEncoder
from sr_experiments.video.scene_cuts import is_cut
from tests.conftest import scheduling_policies
from tests.inference.films import film, packets, rgb, times, upscale, write

CUT = 12  # where the shot changes: a segment's first frame, when segments are 6 long


def frvsr(seed: int = 0) -> Engine:
    torch.manual_seed(seed)
    network = GENERATORS["frvsr"](scale=2, srnet={"name": "resnet", "features": 8, "blocks": 1})
    return Engine(network, "cpu", "fp32")


def basicvsr_uni() -> Engine:
    torch.manual_seed(0)
    return Engine(GENERATORS["basicvsr_uni"](scale=2, features=8, blocks=1), "cpu", "fp32")


def msrresnet() -> Engine:
    torch.manual_seed(0)
    return Engine(GENERATORS["msrresnet"](scale=2, features=8, blocks=1), "cpu", "fp32")


def stop_at(engine: Engine, frame: int, error: BaseException) -> Engine:
    """Let an engine fail at a frame, counted from where it starts."""
    name = "next_frame" if engine.recurrent else "upscale_batch"
    work, done = getattr(engine, name), []

    def failing(*frames: object) -> object:
        if len(done) == frame:
            raise error
        done.append(frame)
        return work(*frames)

    setattr(engine, name, failing)
    return engine


def shots() -> list[np.ndarray]:
    """Two shots, the second from frame CUT on."""
    frames = film(CUT) + [255 - frame for frame in film(8)]
    assert is_cut(frames[CUT - 1], frames[CUT])
    return frames


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(resume, "SEGMENT", 6)
    stamps = list(np.cumsum([1, 2, 1, 1, 3] * 4))
    return write(
        tmp_path / "in.mkv", shots(), stamps=[int(s) * 40 for s in stamps], audio="aac", time_base=Fraction(1, 1000)
    )


@pytest.mark.parametrize(
    ("make", "frame"),
    [
        (frvsr, 13),
        *(pytest.param(make, 13, marks=pytest.mark.slow) for make in (msrresnet, basicvsr_uni)),
        *(pytest.param(make, frame, marks=pytest.mark.slow) for make in (frvsr, msrresnet) for frame in (7, 19)),
    ],
)
def test_a_resumed_video_equals_an_uninterrupted_one(source, tmp_path, make, frame):
    target, whole = tmp_path / "out.mkv", tmp_path / "whole.mkv"
    upscale(make(), source, whole)
    with pytest.raises(KeyboardInterrupt):
        upscale(stop_at(make(), frame, KeyboardInterrupt()), source, target)
    assert not target.exists()
    resumed = make()
    upscale(resumed, source, target, resume=True)
    assert packets(target, "video") == packets(whole, "video")
    assert packets(target, "audio") == packets(whole, "audio")
    assert times(target) == times(source)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "out.mkv", "whole.mkv"}


def test_only_what_is_missing_is_done_again(source, tmp_path, monkeypatch):
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        upscale(stop_at(frvsr(), 15, KeyboardInterrupt()), source, target)
    engine, seen = frvsr(), []
    work = engine.next_frame
    monkeypatch.setattr(engine, "next_frame", lambda frame: seen.append(0) or work(frame))
    upscale(engine, source, target, resume=True)
    assert len(seen) == 20 - 12


@pytest.mark.parametrize("make", [pytest.param(frvsr, marks=pytest.mark.slow), msrresnet])
def test_slow_work_is_kept_by_the_minute(tmp_path, monkeypatch, make):
    source = write(tmp_path / "in.mkv", shots())
    upscale(make(), source, tmp_path / "whole.mkv", codec="ffv1", pix_fmt="bgr0")
    clock = [0.0]
    monkeypatch.setattr(network, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    engine = stop_at(make(), 11, KeyboardInterrupt())
    name = "next_frame" if engine.recurrent else "upscale_batch"
    work = getattr(engine, name)
    monkeypatch.setattr(engine, name, lambda frame: clock.__setitem__(0, clock[0] + 20) or work(frame))
    said = Console(file=io.StringIO(), width=40)
    options = Options(codec="ffv1", pix_fmt="bgr0", again="sr upscale 'my film.mkv' --resume")
    with pytest.raises(KeyboardInterrupt):
        upscale_video(engine, source, tmp_path / "out.mkv", options, said)
    kept = "9 of 20 frames are finished and kept: continue with sr upscale 'my film.mkv' --resume\n"
    assert said.file.getvalue() == kept, "on one line, to be pasted"
    monkeypatch.undo()
    resumed, seen = make(), []
    work = getattr(resumed, name)
    monkeypatch.setattr(resumed, name, lambda frame: seen.append(0) or work(frame))
    upscale(resumed, source, tmp_path / "out.mkv", codec="ffv1", pix_fmt="bgr0", resume=True)
    assert len(seen) == 11
    for one, other in zip(rgb(tmp_path / "whole.mkv"), rgb(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_kept_is_said_and_left(source, tmp_path):
    said = Console(file=io.StringIO())
    with pytest.raises(SystemExit):
        upscale_video(stop_at(frvsr(), 3, SystemExit(143)), source, tmp_path / "out.mkv", Options(), said)
    assert said.file.getvalue() == "none of 20 frames is kept: too early to continue, start again\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.slow
def test_segments_do_not_show(source, tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SEGMENT", 250)
    upscale(frvsr(), source, tmp_path / "one.mkv", codec="ffv1", pix_fmt="bgr0")
    monkeypatch.setattr(resume, "SEGMENT", 3)
    upscale(frvsr(), source, tmp_path / "many.mkv", codec="ffv1", pix_fmt="bgr0")
    for one, many in zip(rgb(tmp_path / "one.mkv"), rgb(tmp_path / "many.mkv"), strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize(
    "codec",
    [
        "libx264",
        "libsvtav1",
        *(pytest.param(codec, marks=pytest.mark.slow) for codec in ("libx265", "libvpx-vp9", "mpeg4")),
    ],
)
def test_every_encoder_can_be_cut_into_segments(source, tmp_path, codec):
    upscale(msrresnet(), source, tmp_path / "out.mp4", codec=codec)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        decoded = [p.dts for p in container.demux(stream) if p.size]
    assert decoded == sorted(set(decoded))
    assert times(tmp_path / "out.mp4") == times(source)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="lists threads as Linux does")
def test_no_encoder_makes_this_process_a_real_time_one(source, tmp_path):
    upscale(msrresnet(), source, tmp_path / "out.mp4", codec="libsvtav1")
    assert scheduling_policies() == {os.SCHED_OTHER}


def test_unfinished_work_is_not_thrown_away_unasked(source, tmp_path):
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        upscale(stop_at(frvsr(), 7, KeyboardInterrupt()), source, target)
    with pytest.raises(
        SRError, match=r"out\.mkv is unfinished: give --resume to continue, or --overwrite to start again"
    ):
        upscale(frvsr(), source, target)
    upscale(frvsr(), source, target, overwrite=True)
    assert times(target) == times(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": "libx265"}, r"different codec \(libx264, now libx265\)"),
        pytest.param({"crf": 30}, r"different crf \(None, now 30\)", marks=pytest.mark.slow),
        pytest.param({"scene_cuts": False}, "different scene_cuts", marks=pytest.mark.slow),
        ("checkpoint", "different checkpoint: give the same with --resume, or --overwrite to start again"),
        pytest.param("input", "different input", marks=pytest.mark.slow),
    ],
)
def test_resuming_with_something_else_is_named(source, tmp_path, change, message):
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        upscale(stop_at(frvsr(), 7, KeyboardInterrupt()), source, target)
    if change == "input":
        os.utime(source, (1, 1))
    engine = frvsr(1 if change == "checkpoint" else 0)
    with pytest.raises(SRError, match=message):
        upscale(engine, source, target, resume=True, **(change if isinstance(change, dict) else {}))


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_damaged_video_stops_with_one_line_and_keeps_what_is_finished(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(resume, "SEGMENT", 6)
    source = write(tmp_path / f"in.{suffix}", film(40), options={"x264-params": "keyint=10:scenecut=0"})
    with av.open(str(source)) as container:
        spots = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(source.read_bytes())
    for position, size in spots[18:24]:
        content[position + 16 : position + size] = bytes(size - 16)
    source.write_bytes(content)
    with pytest.raises(SRError, match=rf"can't read frame \d+ of .*in\.{suffix}: .*replace") as error:
        upscale(msrresnet(), source, tmp_path / "out.mp4")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.mp4").exists()
    assert (tmp_path / ".out.mp4.partial" / "000001.mkv").exists()


def test_a_truncated_video_stops_with_one_line(tmp_path):
    for suffix in ("mp4", "mkv"):
        source = write(tmp_path / f"in.{suffix}", film(30))
        content = source.read_bytes()
        source.write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(SRError, match=rf"in\.{suffix}") as error:
            upscale(msrresnet(), source, tmp_path / "out.mp4")
        assert "\n" not in str(error.value)
        assert {path.suffix for path in tmp_path.iterdir()} <= {".mp4", ".mkv"} and not (tmp_path / "out.mp4").exists()


def test_a_full_disk_is_one_line_and_loses_nothing(source, tmp_path, monkeypatch):
    target, write_frame, count = tmp_path / "out.mkv", SegmentEncoder.write, []

    def full(self: SegmentEncoder, *frame: object) -> None:
        count.append(0)
        if len(count) == 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_frame(self, *frame)

    monkeypatch.setattr(SegmentEncoder, "write", full)
    with pytest.raises(SRError, match=r"no space left for .*: free some and continue"):
        upscale(frvsr(), source, target)
    monkeypatch.undo()
    monkeypatch.setattr(resume, "SEGMENT", 6)
    upscale(frvsr(), source, target, resume=True)
    assert times(target) == times(source)


@pytest.mark.parametrize("stage", ["decode", "network", "encode"])
def test_an_error_in_any_stage_ends_all_threads(source, tmp_path, monkeypatch, stage):
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    engine = msrresnet()
    if stage == "network":
        stop_at(engine, 3, ZeroDivisionError())
    else:
        monkeypatch.setattr(ToRGB if stage == "decode" else FromRGB, "__call__", fail)
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        upscale(engine, source, tmp_path / "out.mkv")
    assert threading.active_count() == before
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


KILLED = """
import sys, time
from pathlib import Path
import tests.inference.test_video_resume as here
here.resume.SEGMENT = 6
engine = here.frvsr()
work = engine.next_frame
engine.next_frame = lambda frame: (time.sleep(0.1), work(frame))[1]
here.upscale(engine, Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(source, tmp_path):
    target, whole = tmp_path / "out.mkv", tmp_path / "whole.mkv"
    upscale(frvsr(), source, whole)
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(source), str(target)])
    second = tmp_path / ".out.mkv.partial" / "000001.mkv"
    give_up = time.monotonic() + 120
    while not second.exists() and run.poll() is None and time.monotonic() < give_up:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL, "it was killed while it worked"
    assert not target.exists()
    upscale(frvsr(), source, target, resume=True)
    assert packets(target, "video") == packets(whole, "video")
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "out.mkv", "whole.mkv"}
