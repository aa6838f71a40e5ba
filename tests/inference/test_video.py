"""Videos go through a network and come out whole: every frame at its time, and everything else that was in the file."""

import os
import time
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.video.network import QUEUE_SIZE
from sr_experiments.video.colour import ToRGB
from sr_experiments.video.source import VideoSource
from tests.inference.films import Nearest, film, packets, rgb, times, upscale, write


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("stamps", [range(0, 480, 40), [0, 40, 50, 130, 131, 200, 201, 202, 300, 400, 900, 901]])
def test_every_frame_comes_out_at_its_time(nearest, tmp_path, extension, stamps):
    source = write(tmp_path / f"in.{extension}", film(), stamps=stamps, time_base=Fraction(1, 1000))
    done = upscale(nearest, source, tmp_path / "a" / f"out.{extension}")
    assert (done.frames, done.width, done.height, done.notes) == (12, 64, 48, [])
    target = tmp_path / "a" / f"out.{extension}"
    assert times(target) == times(source) == [Fraction(stamp, 1000) for stamp in stamps]
    assert [path.name for path in target.parent.iterdir()] == [target.name], "nothing else is left behind"


def test_frames_are_what_the_network_makes_of_them(tmp_path):
    torch.manual_seed(0)
    engine = Engine(GENERATORS["msrresnet"](scale=2, features=8, blocks=1), "cpu", "fp32")
    source = write(tmp_path / "in.mkv", film())
    upscale(engine, source, tmp_path / "out.mkv", codec="ffv1", pix_fmt="bgr0")
    for small, large in zip(rgb(source), rgb(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(large, engine.upscale(small))


@pytest.mark.parametrize(
    ("given", "extension", "made"),
    [
        (("libx264", "yuv420p"), "mp4", ("h264", "yuv420p")),
        (("libx265", "yuv420p"), "mp4", ("hevc", "yuv420p")),
        (("libx265", "yuv420p10le"), "mp4", ("hevc", "yuv420p10le")),
        (("libx264", "yuv420p10le"), "mkv", ("hevc", "yuv420p10le")),
        (("libsvtav1", "yuv420p10le"), "mp4", ("av1", "yuv420p10le")),
        (("libsvtav1", "yuv420p10le"), "webm", ("av1", "yuv420p10le")),
        (("libx264", "yuv420p"), "webm", ("vp9", "yuv420p")),
        (("prores_ks", "yuv422p10le"), "mov", ("prores", "yuv422p10le")),
        (("prores_ks", "yuv422p10le"), "mp4", ("hevc", "yuv422p10le")),
        (("mpeg4", "yuv420p"), "mp4", ("h264", "yuv420p")),
    ],
)
def test_the_encoder_suits_the_input_and_the_container(nearest, tmp_path, given, extension, made):
    source = write(tmp_path / ("in.mov" if given[0] == "prores_ks" else "in.mkv"), film(3, 64, 64), *given)
    assert upscale(nearest, source, tmp_path / f"out.{extension}").notes == []
    with av.open(str(tmp_path / f"out.{extension}")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.codec.canonical_name, stream.pix_fmt) == made
        assert len(list(container.decode(video=0))) == 3


@pytest.mark.skipif(os.cpu_count() == 1, reason="one thread makes one slice")
def test_frames_are_not_cut_into_slices_for_the_encoders_threads(nearest, tmp_path):
    """As PyAV has it unless told otherwise, which costs x264 a twentieth of the size and more."""
    upscale(nearest, write(tmp_path / "in.mkv", film(4, 160, 160)), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        for packet in container.demux(video=0):
            kinds, rest = [], bytes(packet)
            while rest:
                size = int.from_bytes(rest[:4], "big")
                kinds.append(rest[4] & 31)
                rest = rest[4 + size :]
            assert not kinds or sum(kind in (1, 5) for kind in kinds) == 1  # coded slices, of non-IDR and IDR frames


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_ten_bits_stay_ten_bits(nearest, tmp_path, codec):
    ramp = np.broadcast_to(np.linspace(16384, 17408, 64).astype(np.uint16)[None, :, None], (48, 64, 3))
    source = write(tmp_path / "in.mkv", [np.ascontiguousarray(ramp)] * 4, "libx265", "yuv420p10le")
    assert upscale(nearest, source, tmp_path / "out.mkv", codec=codec, crf=4).notes == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p10le"
    small, large = rgb(source)[0], rgb(tmp_path / "out.mkv")[0]
    assert small.dtype == large.dtype == np.uint16
    assert len(np.unique(large[24, :, 1])) > 10, "8 bits would have 5 levels here"
    assert np.abs(large[::2, ::2].astype(int) - small).max() < 300
    (note,) = upscale(nearest, source, tmp_path / "8.mkv", codec="mpeg4").notes
    assert note == "10 bits reduced to 8: the most of mpeg4 in yuv420p"


def test_what_cannot_be_done_justice_is_said(nearest, tmp_path):
    hdr = "master-display=G(1,1)B(1,1)R(1,1)WP(1,1)L(10000000,1):max-cll=1000,400:log-level=none"
    source = write(tmp_path / "in.mkv", film(3), "libx265", "yuv420p10le", options={"x265-params": hdr})
    (note,) = upscale(nearest, source, tmp_path / "out.mkv", codec="ffv1").notes
    assert note.startswith("HDR metadata left out")
    source = write(tmp_path / "fields.mkv", film(3, 32), options={"x264-params": "tff=1"})
    (note,) = upscale(nearest, source, tmp_path / "out2.mkv").notes
    assert "interlaced" in note


def test_rotation_and_aspect_are_kept(nearest, tmp_path):
    for extension in ("mp4", "mkv"):
        source = write(tmp_path / f"in.{extension}", film(4), rotation=90, aspect=Fraction(4, 3))
        upscale(nearest, source, tmp_path / f"out.{extension}")
        with av.open(str(tmp_path / f"out.{extension}")) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
            frame = next(container.decode(video=0))
            assert (frame.rotation, frame.width, frame.height) == (90, 64, 48)


def test_where_no_display_matrix_can_be_written_frames_are_turned(nearest, tmp_path, monkeypatch):
    source = write(tmp_path / "in.mp4", film(4), rotation=90, aspect=Fraction(4, 3))
    monkeypatch.setattr("sr_experiments.video.source._can_write_matrix", lambda: False)
    upscale(nearest, source, tmp_path / "out.mp4")
    monkeypatch.undo()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(3, 4)
        frame = next(container.decode(video=0))
        assert (frame.rotation, frame.width, frame.height) == (0, 48, 64)
    upright = np.rot90(rgb(source)[0]).astype(int)
    assert np.abs(rgb(tmp_path / "out.mp4")[0][::2, ::2] - upright).mean() < 8


@pytest.mark.parametrize(
    "tags",
    [
        {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1},
        {"colorspace": 1, "color_range": 2, "color_primaries": 1, "color_trc": 13},
        {},
    ],
)
@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_colours_and_their_tags_are_kept(nearest, tmp_path, tags, extension):
    flat = np.full((24, 32, 3), (200, 40, 90), np.uint8)
    source = write(tmp_path / f"in.{extension}", [flat] * 3, tags=tags)
    upscale(nearest, source, tmp_path / f"out.{extension}", crf=4)
    found = []
    for path in (source, tmp_path / f"out.{extension}"):
        with av.open(str(path)) as container:
            stated = container.streams.video[0].codec_context
            frame = next(container.decode(video=0))
            found.append([[int(getattr(x, name)) for name in sorted(tags)] for x in (stated, frame)])
    assert found[0] == found[1]
    assert all(found[1][0][i] == tags[name] for i, name in enumerate(sorted(tags)))
    small, large = (rgb(path)[0].astype(int) for path in (source, tmp_path / f"out.{extension}"))
    assert np.abs(small - flat).max() <= 4
    assert np.abs(large[::2, ::2] - small).max() <= 2


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.webm", "libvpx"),  # always BT.601, limited
        ("out.mov", "prores_ks"),  # always limited
        ("out.mov", "mjpeg"),  # always BT.601, full
        ("out.mp4", "mpeg4"),  # says nothing
        ("out.mov", "qtrle"),  # RGB
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_right_where_the_output_cannot_state_those_of_the_input(nearest, tmp_path, name, codec, full):
    flat = np.full((24, 32, 3), (200, 40, 90), np.uint8)
    tags = {"colorspace": 1, "color_range": 1 + full, "color_primaries": 1, "color_trc": 1}
    source = write(tmp_path / "in.mp4", [flat] * 3, tags=tags)
    upscale(nearest, source, tmp_path / name, codec=codec)
    large = rgb(tmp_path / name)[0]
    assert np.abs(large / np.iinfo(large.dtype).max * 255 - flat[0, 0]).max() <= 4


def test_a_video_that_states_no_colours_looks_the_same_where_its_size_means_others(nearest, tmp_path):
    """Without a matrix, players take BT.709 from 720 lines up."""
    source = write(tmp_path / "in.mp4", [np.full((360, 64, 3), (200, 40, 90), np.uint8)] * 2)
    done = upscale(nearest, source, tmp_path / "out.mp4", crf=4)
    reason = "the input states none, and programs take these at the output's size"
    assert done.notes == [f"encoded in BT.709, limited range: {reason}"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.height == 720 and frame.colorspace == 2  # still none
        pixels = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    assert np.abs(pixels[300, 60].astype(int) - rgb(source)[0][150, 30]).max() <= 3


def test_odd_sizes_come_out_exactly(tmp_path):
    source = write(tmp_path / "in.mkv", film(4, 23, 31), "ffv1")
    done = upscale(Engine(Nearest(3), "cpu", "fp32"), source, tmp_path / "out.mp4")
    assert (done.width, done.height) == (93, 69)
    assert done.notes == ["encoded as yuv444p: libx264 can't encode 93x69 in 4:2:0"]
    assert rgb(tmp_path / "out.mp4")[0].shape == (69, 93, 3)


def test_videos_without_usable_time_stamps_keep_their_rate(nearest, tmp_path):
    source = write(tmp_path / "in.avi", film(), "mpeg4")
    upscale(nearest, source, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == [Fraction(i, 25) for i in range(12)]


def test_mpeg_transport_streams_begin_at_zero(nearest, tmp_path):
    source = write(tmp_path / "in.ts", film(), audio="aac")
    assert times(source)[0] > 0
    assert upscale(nearest, source, tmp_path / "out.mp4").notes == []
    begin = min(times(source)[0], packets(source, "audio")[0][0])
    assert times(tmp_path / "out.mp4") == pytest.approx([t - begin for t in times(source)], abs=1e-3)
    assert [t for t, _ in packets(tmp_path / "out.mp4", "audio")] == pytest.approx(
        [t - begin for t, _ in packets(source, "audio")], abs=1e-3
    )


@pytest.mark.parametrize("extension", ["mkv", "mp4"])
def test_mpeg_program_streams_with_b_frames_stay_with_their_sound(nearest, tmp_path, extension):
    """Their frames are numbered, for few of them have a time; sound and frames begin at half a second."""
    source, target = write(tmp_path / "in.mpg", film(), audio="mp2"), tmp_path / f"out.{extension}"
    with av.open(str(source)) as container:
        first, sound = (float(next(container.decode(**{kind: 0})).time) for kind in ("video", "audio"))
    assert upscale(nearest, source, target).notes == []
    assert times(target)[0] - packets(target, "audio")[0][0] == pytest.approx(first - sound, abs=2e-3)
    assert times(target) == pytest.approx([times(target)[0] + i / 25 for i in range(12)], abs=1e-3)
    upscale(nearest, source, tmp_path / f"part.{extension}", start=Fraction("0.2"))
    part = times(tmp_path / f"part.{extension}"), packets(tmp_path / f"part.{extension}", "audio")
    assert len(part[0]) == 7 and part[0][0] == 0 and part[1][0][0] < 0.025
    skipped = len(packets(source, "audio")) - len(part[1])
    assert skipped == pytest.approx(0.2 / 0.024, abs=1.1)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("out.xyz", {}, r"out\.xyz: choose one of \.mp4 \.m4v \.mov \.mkv \.webm"),
        (
            "out.webm",
            {"codec": "libx264"},
            r"\.webm can't hold the video of libx264: give --codec libvpx-vp9 or libsvtav1",
        ),
        ("out.mp4", {"codec": "libx999"}, "no video encoder --codec libx999: choose one of h264 hevc"),
        ("out.mp4", {"codec": "aac"}, "--codec aac encodes audio"),
        ("out.mp4", {"pix_fmt": "yuv421"}, "no pixel format --pix-fmt yuv421"),
        (
            "out.mp4",
            {"pix_fmt": "gbrp", "codec": "libx264"},
            "libx264 can't encode --pix-fmt gbrp: choose one of yuv420p",
        ),
        ("out.mp4", {"pix_fmt": "gbrp"}, "libx264 can't encode --pix-fmt gbrp: choose one of yuv420p"),
        ("out.mp4", {"crf": 99}, r"--crf 99 is out of range: libx264 takes 0 \(best\) to 51"),
        ("out.mp4", {"crf": 20, "codec": "mpeg4"}, "mpeg4 has no --crf: leave it out, or choose another --codec"),
        ("out.mp4", {"preset": "swift"}, "no --preset swift of libx264: choose one of ultrafast"),
        ("there.mp4", {}, r"there\.mp4 exists: give --overwrite to replace"),
    ],
)
def test_mistakes_are_one_line_before_any_work(tmp_path, monkeypatch, target, options, message):
    engine = Engine(Nearest(), "cpu", "fp32")
    monkeypatch.setattr(engine, "upscale_batch", lambda batch: pytest.fail("it worked"))
    source = write(tmp_path / "in.mp4", film(3))
    (tmp_path / "there.mp4").write_bytes(b"precious")
    with pytest.raises(SRError, match=message) as error:
        upscale(engine, source, tmp_path / target, **options)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "there.mp4"]
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


def test_overwriting_replaces_only_when_all_is_done(nearest, tmp_path):
    source, target = write(tmp_path / "in.mp4", film(3)), tmp_path / "out.mp4"
    target.write_bytes(b"old")
    upscale(nearest, source, target, overwrite=True)
    assert len(times(target)) == 3
    assert "finished before" in upscale(nearest, source, target, resume=True).notes[0]


def test_a_preview_comes_first(nearest, tmp_path, caplog):
    source = write(tmp_path / "in.mp4", film(12))
    caplog.set_level("INFO")
    upscale(nearest, source, tmp_path / "out.mp4", preview=0.2)
    assert str(tmp_path / "out.preview.mp4") in caplog.text
    sheets = rgb(tmp_path / "out.preview.mp4")
    assert len(sheets) == 5 and sheets[0].shape == (20 + 48, 64 + 4 + 64, 3)
    large = nearest.upscale(rgb(source)[2]).astype(int)
    assert np.abs(sheets[2][20:, 68:].astype(int) - large).mean() < 6
    assert len(times(tmp_path / "out.mp4")) == 12


def test_few_frames_are_in_memory_at_a_time(tmp_path, monkeypatch):
    engine = Engine(Nearest(), "cpu", "fp32")
    source = write(tmp_path / "in.mp4", film(60))
    alive, most = [], 0  # weak references to the pixels of decoded frames

    class Counted(np.ndarray):
        pass

    convert, work = ToRGB.__call__, engine.upscale_batch

    def counted(self: ToRGB, frame: object) -> np.ndarray:
        pixels = convert(self, frame).view(Counted)
        alive.append(weakref.ref(pixels))
        return pixels

    def slow(batch: list[np.ndarray]) -> list[np.ndarray]:
        nonlocal most
        time.sleep(0.005)
        most = max(most, sum(ref() is not None for ref in alive))
        return work(batch)

    monkeypatch.setattr(ToRGB, "__call__", counted)
    monkeypatch.setattr(engine, "upscale_batch", slow)
    upscale(engine, source, tmp_path / "out.mp4")
    assert 2 <= most <= QUEUE_SIZE + 3


def test_a_frame_more_or_less_is_an_error(tmp_path, monkeypatch, nearest):
    source = write(tmp_path / "in.mp4", film(8))
    frames = VideoSource.frames
    monkeypatch.setattr(VideoSource, "frames", lambda self, start=0, end=None, alpha=False: list(frames(self))[:6])
    with pytest.raises(SRError, match=r"only 0 of 8 frames of .*in\.mp4 were made"):
        upscale(nearest, source, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
