"""`--start` and `--end`: a part of a video, with its sound, subtitles and chapters."""

from fractions import Fraction

import av
import numpy as np
import pytest

from sr_experiments.errors import SRError
from sr_experiments.video.part import Part, read_time
from tests.inference.films import film, packets, rgb, spoken, times, upscale, write

FRAME = Fraction(1, 25)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("83.5", Fraction(167, 2)), ("01:23.5", Fraction(167, 2)), ("1:00:00.040", Fraction(90001, 25))],
)
def test_times_are_read(text, seconds):
    assert read_time(text, "--start") == seconds


@pytest.mark.parametrize("text", ["", "x", "-3", "1:2:3:4", "1e3"])
def test_what_is_no_time_is_one_line(text):
    with pytest.raises(SRError, match=r"--end .* is no time: give seconds, such as 83.5, or HH:MM:SS"):
        read_time(text, "--end")


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
def test_a_part_is_exact_to_the_frame_and_its_sound_is_cut_alike(nearest, tmp_path, extension):
    source = write(tmp_path / f"in.{extension}", film(20), audio="aac", options={"bf": "2"})
    target = tmp_path / ("out.mkv" if extension == "ts" else f"out.{extension}")
    start, end = Fraction("0.25"), Fraction("0.6")
    with av.open(str(source)) as container:  # transport streams begin at any time
        origin = Fraction(container.start_time, 1_000_000) if extension == "ts" else 0
    first, *_, last = (i for i, time in enumerate(times(source)) if start <= time - origin < end)
    count = last - first + 1
    assert upscale(nearest, source, target, start=start, end=end).frames == count
    assert times(target) == [i * FRAME for i in range(count)]
    whole, made = rgb(source), rgb(target)
    for i in range(count):
        differences = [np.abs(made[i][::2, ::2].astype(int) - frame).mean() for frame in whole]
        assert int(np.argmin(differences)) == first + i
    begin = times(source)[first]
    header = 7 if extension == "ts" else 0  # bytes, of ADTS
    expected = [(t - begin, b[header:]) for t, b in packets(source, "audio") if begin <= t < begin + count * FRAME]
    got = packets(target, "audio")
    assert [content for _, content in got] == [content for _, content in expected] and len(got) > 5
    assert max(abs(a - b) for (a, _), (b, _) in zip(got, expected, strict=True)) <= Fraction(1, 1000)


def test_the_sound_of_a_part_far_in_a_program_stream_is_encoded(nearest, tmp_path):
    """The packet that such a file is entered at lacks its beginning, and can't be decoded."""
    with av.open(str(tmp_path / "in.mpg"), "w") as container:
        video, sound = container.add_stream("mpeg2video", rate=25), container.add_stream("mp2", rate=48000)
        video.height, video.width, video.pix_fmt = 24, 32, "yuv420p"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1920), np.int16), "s16", "stereo")
        silence.sample_rate = 48000
        picture = film(1)[0]
        for number in range(310):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
            silence.pts = 1920 * number
            container.mux(sound.encode(silence))
        container.mux((*video.encode(None), *sound.encode(None)))
    upscale(nearest, tmp_path / "in.mpg", tmp_path / "out.webm", start=Fraction("11.9"))
    with av.open(str(tmp_path / "out.webm")) as container:
        sound = list(container.decode(audio=0))
    assert float(sound[0].time) < 0.03 and float(sound[-1].time) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("extension", "subtitles"), [("mp4", "mov_text"), ("mkv", "subrip")])
def test_subtitles_and_chapters_are_cut_and_shifted(nearest, tmp_path, extension, subtitles):
    source, target = tmp_path / f"in.{extension}", tmp_path / f"out.{extension}"
    write(source, film(20), subtitles=subtitles, chapters=True)  # at 0.2 and 0.6 s; chapters from 0 and 0.2 s
    assert upscale(nearest, source, target, start=Fraction("0.32"), end=Fraction("0.72")).notes == []
    assert [(round(when, 3), words) for when, words in spoken(target)] == [(0.0, "one"), (0.28, "two")]
    with av.open(str(target)) as container:
        (chapter,) = container.chapters()
        assert chapter["metadata"] == {"title": "part 1"} and chapter["start"] == 0
        assert chapter["end"] * chapter["time_base"] == pytest.approx(0.08)


def test_from_the_first_frame_nothing_is_lost_and_the_time_code_stays(nearest, tmp_path):
    source = write(tmp_path / "in.mov", film(20), audio="aac", metadata={"timecode": "01:00:00:00"})
    assert upscale(nearest, source, tmp_path / "whole.mov", end=Fraction(9)).frames == 20
    assert packets(tmp_path / "whole.mov", "audio") == packets(source, "audio")
    assert upscale(nearest, source, tmp_path / "end.mov", start=Fraction("0.4")).notes == [
        f"time code of {source} left out: it is that of its first frame"
    ]
    for name, has in (("whole.mov", True), ("end.mov", False)):
        with av.open(str(tmp_path / name)) as container:
            assert ("timecode" in container.streams.video[0].metadata) == has


def test_a_part_is_resumed_as_it_was_begun_and_previewed(nearest, tmp_path, monkeypatch):
    source = write(tmp_path / "in.mp4", film(20))

    def interrupted(*_):
        raise KeyboardInterrupt

    part = {"start": Fraction("0.2"), "end": Fraction("0.5")}
    monkeypatch.setattr("sr_experiments.inference.video.upscale._join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        upscale(nearest, source, tmp_path / "out.mp4", **part, preview=0.1)
    monkeypatch.undo()
    with pytest.raises(SRError, match="a different end"):
        upscale(nearest, source, tmp_path / "out.mp4", start=part["start"], resume=True)
    assert upscale(nearest, source, tmp_path / "out.mp4", **part, resume=True).frames == 8
    assert len(times(tmp_path / "out.preview.mp4")) == 3


def test_a_part_without_frames_is_one_line(nearest, tmp_path):
    source = write(tmp_path / "in.mp4", film(5))
    for part, said in (
        ({"start": Fraction(3)}, "from 3 s on: it is 0.200 s long"),
        (
            {"start": Fraction("0.1"), "end": Fraction("0.11")},
            "from 0.1 s on before 0.11 s: it is",
        ),
    ):
        with pytest.raises(SRError, match=f"in.mp4 has no frame {said}"):
            upscale(nearest, source, tmp_path / "out.mp4", **part)
    assert not (tmp_path / "out.mp4").exists()


def test_images_have_no_parts(sr, weights, tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", weights(), "--start", "1:00")
    assert done.code == 2 and "--start and --end are for videos, and" in done.err


def test_what_reaches_over_an_end_is_cut():
    part = Part(Fraction(2), Fraction(5))
    assert part.cut(Fraction(1), Fraction(3)) == (0, 1) and part.cut(Fraction(4), Fraction(9)) == (2, 3)
    assert part.cut(Fraction(0), Fraction(2)) is None
