"""Videos go through a network and come out whole: every frame at its time, and everything else that was in the file."""

import io
import time
import weakref
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import sample_paths
from sr_experiments.data.video_files import SCALER
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.inference import video_source
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video import Summary, upscale_video
from sr_experiments.inference.video_colour import ToRGB
from sr_experiments.inference.video_network import WAITING
from sr_experiments.inference.video_source import VideoSource

QUIET = Console(file=io.StringIO())
STYLE = (
    "[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\n"
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    "MarginV, Encoding\r\n"
    "Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\r\n\r\n[Events]\r\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
)
SUBTITLES = ((200, 300, "one"), (600, 300, "two"))  # ms: start, duration


class Nearest(nn.Module):
    """Repeats pixels."""

    channels = 3

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=self.scale, mode="nearest")


@pytest.fixture(scope="module")
def nearest() -> Engine:
    return Engine(Nearest(), "cpu", "fp32")


def film(frames: int = 12, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """A pan over a photograph."""
    photograph = read_image(sample_paths(("astronaut.png",))[0])
    return [np.ascontiguousarray(photograph[i : i + height, 2 * i : 2 * i + width]) for i in range(frames)]


def write(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    stamps: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    audio: str = "",
    subtitles: str = "",
    chapters: bool = False,
    rotation: int = 0,
    aspect: Fraction | None = None,
    tags: dict[str, int] | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A file with all that is asked for."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        video = container.add_stream(codec, rate=25, options={"crf": "5", **(options or {})} if "26" in codec else {})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], pix_fmt
        video.codec_context.time_base = time_base
        video.codec_context.gop_size, video.codec_context.max_b_frames = 7, 2 if "26" in codec else 0
        for name, value in (tags or {}).items():
            setattr(video.codec_context, name, value)
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        sound = container.add_stream(audio, rate=48000) if audio else None
        text = container.add_stream(subtitles) if subtitles else None
        if text is not None:
            text.codec_context.subtitle_header = STYLE.encode()
            text.codec_context.time_base = text.time_base = Fraction(1, 1000)
            text.metadata["language"] = "eng"
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": i,
                        "start": 200 * i,
                        "end": 200 * i + 200,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": f"part {i}"},
                    }
                    for i in range(2)
                ]
            )
        container.start_encoding()
        if sound is not None:
            wave = (8000 * np.sin(np.arange(24000) / 20)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave], 1).reshape(1, -1), "s16", "stereo")
            frame.sample_rate, frame.pts = 48000, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
        if text is not None:
            for start, duration, words in SUBTITLES:
                line = av.subtitles.subtitle.SubtitleSet.create(f"0,0,Default,,0,0,0,,{words}".encode(), 0, duration)
                packet = text.codec_context.encode_subtitle(line)
                packet.pts = packet.dts = start
                packet.duration, packet.time_base, packet.stream = duration, Fraction(1, 1000), text
                container.mux(packet)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24" if pixels.dtype == np.uint8 else "rgb48le")
            full = pix_fmt == "yuv420p" and (tags or {}).get("color_range") == 2
            frame = frame.reformat(
                format=pix_fmt,
                dst_colorspace="ITU709" if tags else None,
                dst_color_range="JPEG" if full else "MPEG",
                interpolation=SCALER,
            )
            frame.pts, frame.time_base = i if stamps is None else stamps[i], time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def upscale(engine: Engine, source: Path, target: Path, **options: object) -> Summary:
    return upscale_video(engine, source, target, Options(**options), QUIET)  # type: ignore[arg-type]


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


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


def rgb(path: Path) -> list[np.ndarray]:
    return [pixels for _, pixels in VideoSource(path).frames()]


@pytest.mark.parametrize(("extension", "subtitles"), [("mp4", "mov_text"), ("mkv", "subrip")])
def test_audio_subtitles_chapters_and_metadata_are_kept_as_they_are(nearest, tmp_path, extension, subtitles):
    source, target = tmp_path / f"in.{extension}", tmp_path / f"out.{extension}"
    write(source, film(20), audio="aac", subtitles=subtitles, chapters=True, metadata={"title": "A film"})
    assert upscale(nearest, source, target).notes == []
    assert packets(target, "audio") == packets(source, "audio")
    assert spoken(target) == spoken(source) == [(0.2, "one"), (0.6, "two")]
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert after.metadata["title"] == "A film"
        assert after.streams.subtitles[0].language == "eng"
        chapters = [[(c["start"], c["end"], c["metadata"]) for c in file.chapters()] for file in (before, after)]
        assert chapters[0] == chapters[1] and len(chapters[0]) == 2


def spoken(path: Path) -> list[tuple[float, str]]:
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        lines = [(float(p.pts * p.time_base), p.decode()) for p in container.demux(stream) if p.size]
        return [(when, made[0].ass.decode().split(",")[-1]) for when, made in lines if made]


@pytest.mark.parametrize(
    ("given", "extension", "made", "options"),
    [
        ("pcm_mulaw", "mp4", "aac", {}),
        ("pcm_mulaw", "mkv", "flac", {}),
        ("aac", "webm", "opus; .mkv holds it", {"codec": "libvpx-vp9"}),
    ],
)
def test_audio_that_the_container_cannot_hold_is_encoded_anew_and_said(
    nearest, tmp_path, given, extension, made, options
):
    source = write(tmp_path / "in.mov", film(), audio=given)
    (note,) = upscale(nearest, source, tmp_path / f"out.{extension}", **options).notes
    assert note.endswith(f"encoded anew as {made}") and "audio stream 1" in note
    with av.open(str(tmp_path / f"out.{extension}")) as container:
        frames = list(container.decode(audio=0))
    assert sum(frame.samples for frame in frames) == pytest.approx(24000, abs=4096)
    sound = np.concatenate([frame.to_ndarray().mean(0) for frame in frames])
    loudest = np.abs(sound).max() * (2**15 if made.startswith(("aac", "opus")) else 1)
    assert loudest == pytest.approx(8000, rel=0.3)
    assert times(tmp_path / f"out.{extension}") == times(source)


@pytest.mark.parametrize(
    ("given", "extension", "converted"), [("subrip", "mp4", "mov_text"), ("mov_text", "mkv", "subrip")]
)
def test_subtitles_of_text_are_converted_and_said(nearest, tmp_path, given, extension, converted):
    source = write(tmp_path / ("in.mkv" if extension == "mp4" else "in.mp4"), film(20), subtitles=given)
    (note,) = upscale(nearest, source, tmp_path / f"out.{extension}").notes
    assert f"converted to {converted}" in note
    assert spoken(tmp_path / f"out.{extension}") == [(0.2, "one"), (0.6, "two")]
    with av.open(str(tmp_path / f"out.{extension}")) as container:
        assert container.streams.subtitles[0].language == "eng"


def test_times_of_audio_that_are_not_in_order_are_mended(nearest, tmp_path):
    source = write(tmp_path / "in.mkv", film(12), audio="aac")
    with av.open(str(source)) as given, av.open(str(tmp_path / "twice.mkv"), "w") as made:
        streams = [made.add_stream_from_template(stream, opaque=True) for stream in given.streams]
        for i, packet in enumerate(packet for packet in given.demux() if packet.size):
            packet.stream = streams[packet.stream.index]
            if packet.stream.type == "audio" and i % 3 == 0:
                packet.pts = packet.dts = max(packet.pts - 21, 0)
            made.mux(packet)
    upscale(nearest, tmp_path / "twice.mkv", tmp_path / "out.mp4")
    before, after = packets(tmp_path / "twice.mkv", "audio"), packets(tmp_path / "out.mp4", "audio")
    assert [content for _, content in after] == [content for _, content in before]
    assert [when for when, _ in after] == pytest.approx([when for when, _ in before], abs=0.002)


def test_what_cannot_be_held_is_left_out_and_said(nearest, tmp_path):
    source = write(tmp_path / "in.mkv", film())
    with av.open(str(source)) as given, av.open(str(tmp_path / "fonts.mkv"), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        made.add_attachment("font.ttf", "font/ttf", b"letters")
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    assert upscale(nearest, tmp_path / "fonts.mkv", tmp_path / "out.mkv").notes == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.attachments[0].data == b"letters"
    (note,) = upscale(nearest, tmp_path / "fonts.mkv", tmp_path / "out.mp4").notes
    assert "left out: .mp4 can't hold it; .mkv holds it" in note


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
def test_a_cover_is_kept_or_said_to_be_lost(nearest, tmp_path, extension):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "cover.png")
    picture = (tmp_path / "cover.png").read_bytes()
    source = write(tmp_path / "in.mp4", film(3))
    with (
        av.open(str(source)) as given,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "with.mp4"), "w") as made,
    ):
        streams = [made.add_stream_from_template(f.streams.video[0], opaque=True) for f in (given, cover)]
        streams[1].disposition = av.stream.Disposition.attached_pic
        for file, stream in zip((cover, given), streams[::-1], strict=True):
            for packet in file.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    made.mux(packet)
    notes = upscale(nearest, tmp_path / "with.mp4", tmp_path / f"out.{extension}").notes
    if extension == "mov":
        assert "left out: .mov can't hold it; .mkv holds it" in notes[0]
        return
    with av.open(str(tmp_path / f"out.{extension}")) as container:
        assert bytes(next(container.demux(container.streams.video[1]))) == picture
    assert notes == []


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
    assert note == "10 bits became 8: mpeg4 with yuv420p has no more"


def test_what_cannot_be_done_justice_is_said(nearest, tmp_path):
    hdr = "master-display=G(1,1)B(1,1)R(1,1)WP(1,1)L(10000000,1):max-cll=1000,400:log-level=none"
    source = write(tmp_path / "in.mkv", film(3), "libx265", "yuv420p10le", options={"x265-params": hdr})
    (note,) = upscale(nearest, source, tmp_path / "out.mkv").notes
    assert note.startswith("HDR metadata left out (content_light_level, mastering_display_metadata)")
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
    monkeypatch.setattr(video_source, "_matrices_can_be_written", lambda: False)
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


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("out.xyz", {}, r"out\.xyz: choose one of \.mp4 \.m4v \.mov \.mkv \.webm"),
        ("out.webm", {}, r"\.webm can't hold what libx264 makes: give --codec libvpx-vp9 or libsvtav1"),
        ("out.mp4", {"codec": "libx999"}, "no video encoder --codec libx999: try libx264"),
        ("out.mp4", {"codec": "aac"}, "--codec aac encodes audio"),
        ("out.mp4", {"pix_fmt": "yuv421"}, "no pixel format --pix-fmt yuv421"),
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
    assert 2 <= most <= WAITING + 3


def test_a_frame_more_or_less_is_an_error(tmp_path, monkeypatch, nearest):
    source = write(tmp_path / "in.mp4", film(8))
    frames = VideoSource.frames
    monkeypatch.setattr(VideoSource, "frames", lambda self, start=0, end=None: list(frames(self))[:6])
    with pytest.raises(SRError, match=r"only 0 of 8 frames of .*in\.mp4 were made"):
        upscale(nearest, source, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
