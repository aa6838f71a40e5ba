"""Audio, subtitles, covers, chapters and metadata go with a video, or what can't is said."""

import re
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from tests.inference.films import film, packets, spoken, times, upscale, write


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
    assert note.endswith(f"re-encoded as {made}") and "audio stream 1" in note
    with av.open(str(tmp_path / f"out.{extension}")) as container:
        frames = list(container.decode(audio=0))
    assert sum(frame.samples for frame in frames) == pytest.approx(24000, abs=4096)
    sound = np.concatenate([frame.to_ndarray().mean(0) for frame in frames])
    loudest = np.abs(sound).max() * (2**15 if made.startswith(("aac", "opus")) else 1)
    assert loudest == pytest.approx(8000, rel=0.3)
    assert times(tmp_path / f"out.{extension}") == times(source)


@pytest.mark.parametrize("extension", ["avi", "mkv"])
def test_uncompressed_sound_whose_speakers_are_not_named_is_encoded_for_mp4(nearest, tmp_path, extension):
    """MP4 takes PCM, but has to name the speakers of its channels, and AVI and MKV don't."""
    source, codec = tmp_path / f"in.{extension}", "mpeg4" if extension == "avi" else "libx264"
    write(source, film(), codec, audio="pcm_s16le")
    (note,) = upscale(nearest, source, tmp_path / "out.mp4").notes
    assert note == "audio stream 1 (pcm_s16le) re-encoded as aac; .mkv holds it"
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray().mean(0) for frame in container.decode(audio=0)])
    assert np.abs(sound).max() * 2**15 == pytest.approx(8000, rel=0.3)


@pytest.mark.parametrize("layout", ["5.0(side)", "5.1(side)"])
def test_surround_sound_becomes_opus(nearest, tmp_path, layout):
    source = tmp_path / "in.mkv"
    with av.open(str(write(tmp_path / "silent.mkv", film()))) as given, av.open(str(source), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        sound = made.add_stream("ac3", rate=48000, layout=layout)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
        content = np.zeros((sound.codec_context.layout.nb_channels, 24000), np.float32)
        content[-1] = 0.3 * np.sin(np.arange(24000) / 20)  # on the right side
        frame = av.AudioFrame.from_ndarray(content, "fltp", layout)
        frame.sample_rate = 48000
        for packet in (*sound.encode(frame), *sound.encode(None)):
            made.mux(packet)
    (note,) = upscale(nearest, source, tmp_path / "out.webm").notes
    assert note == "audio stream 1 (ac3) re-encoded as opus; .mkv holds it"
    with av.open(str(tmp_path / "out.webm")) as container:
        loudest = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1).max(1)
    assert len(loudest) == 6 and loudest.argmax() == 5
    assert loudest[-1] == pytest.approx(0.3, abs=0.05)


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


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(25), Fraction(24000, 1001), Fraction(60000, 1001)])
@pytest.mark.parametrize(("given", "extension"), [("mov", "mov"), ("mov", "mp4"), ("mp4", "mov"), ("mov", "mkv")])
def test_the_time_code_is_kept(nearest, tmp_path, given, extension, rate):
    drop = rate.denominator == 1001 and round(rate) == 60
    start = "01:00:00;00" if drop else "01:00:00:00"
    with av.open(str(tmp_path / f"in.{given}"), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        stream.metadata["timecode"] = start
        for i, pixels in enumerate(film(4)):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert upscale(nearest, tmp_path / f"in.{given}", tmp_path / f"out.{extension}").notes == []
    found = []
    for path in (tmp_path / f"in.{given}", tmp_path / f"out.{extension}"):
        with av.open(str(path)) as container:
            stated = [item for stream in container.streams for item in stream.metadata.items()]
            found.append({value for name, value in stated if name.lower() == "timecode"})
            assert len(container.streams.data) == (path.suffix != ".mkv")
    assert found[0] == found[1] == {start if rate > 10 else "01:00:00:0"}  # FFmpeg writes as many digits as needed
    assert times(tmp_path / f"out.{extension}") == pytest.approx(times(tmp_path / f"in.{given}"), abs=1e-3)


@pytest.mark.parametrize("extension", ["mov", "mp4", "mkv"])
def test_data_of_a_camera_are_kept_or_said_to_be_lost(nearest, tmp_path, extension):
    content = write(tmp_path / "chapters.mov", film(), chapters=True).read_bytes()
    # The stream of chapters becomes one of measured data, as GoPro's cameras make them.
    for of_chapters, of_data in ((b"chap", b"cdsc"), (b"chpl", b"free"), (b"mhlrtext", b"mhlrmeta")):
        assert of_chapters in content
        content = content.replace(of_chapters, of_data)
    content = re.sub(rb"(stsd.{12})text", rb"\1gpmd", content, flags=re.DOTALL)
    (tmp_path / "in.mov").write_bytes(content)
    notes = upscale(nearest, tmp_path / "in.mov", tmp_path / f"out.{extension}").notes
    if extension == "mkv":
        assert notes == ["data stream 1 (bin_data) left out: .mkv can't hold it"]
        return
    assert notes == []
    assert packets(tmp_path / f"out.{extension}", "data") == packets(tmp_path / "in.mov", "data") != []


@pytest.mark.parametrize("extension", ["mov", "mp4"])
def test_data_of_a_transport_stream_are_said_to_be_lost(nearest, tmp_path, extension):
    with av.open(str(write(tmp_path / "in.mp4", film()))) as given, av.open(str(tmp_path / "in.ts"), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        data = made.add_data_stream("klv")
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
        packet = av.Packet(b"measured")
        packet.stream, packet.time_base, packet.pts, packet.dts = data, Fraction(1, 25), 3, 3
        made.mux(packet)
    (note,) = upscale(nearest, tmp_path / "in.ts", tmp_path / f"out.{extension}").notes
    assert note.startswith("data stream 1") and note.endswith(f"left out: .{extension} can't hold it")
    with av.open(str(tmp_path / f"out.{extension}")) as container:
        assert len(container.streams) == 1
