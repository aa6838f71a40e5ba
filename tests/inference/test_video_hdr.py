"""HDR video keeps its depth, tags and static metadata; codecs by their usual names, and without loss."""

from fractions import Fraction

import av
import numpy as np
import pytest

from sr_experiments.inference.options import Options
from sr_experiments.video.encode import SegmentEncoder, choose_encoding
from sr_experiments.video.formats import CODECS
from sr_experiments.video.hdr import HDRMetadata
from sr_experiments.video.source import VideoSource
from tests.inference.films import film, upscale, write

PQ = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 16}
HLG = {**PQ, "color_trc": 18}
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
X265 = {"x265-params": f"log-level=error:master-display={DISPLAY}:max-cll=1000,400"}
STATED = [.68, .32, .265, .69, .15, .06, .3127, .329, .005, 1000]  # fmt: skip


def hdr(path, tags=PQ, options=X265, frames=3):
    deep = [frame.astype(np.uint16) * 257 for frame in film(frames, 64, 64)]
    return write(path, deep, codec="libx265", pix_fmt="yuv420p10le", tags=tags, options=options)


def first_frame(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize(
    ("extension", "codec"),
    [("mp4", None), ("mkv", None), ("mkv", "libsvtav1"), ("mp4", "libsvtav1"), ("mkv", "libx264")],
)
def test_depth_tags_and_static_metadata_are_kept(nearest, tmp_path, extension, codec):
    source = hdr(tmp_path / "in.mp4")
    assert upscale(nearest, source, tmp_path / f"out.{extension}", codec=codec).notes == []
    frame = first_frame(tmp_path / f"out.{extension}")
    assert frame.format.name == "yuv420p10le"
    assert [int(getattr(frame, name)) for name in PQ] == list(PQ.values())
    found = HDRMetadata.of(frame)
    assert found.light == (1000, 400)
    np.testing.assert_allclose([float(value) for value in found.display], STATED, atol=2e-4, rtol=0.01)


def test_hlg_has_tags_alone(nearest, tmp_path):
    source = hdr(tmp_path / "in.mkv", HLG, {"x265-params": "log-level=error"})
    assert upscale(nearest, source, tmp_path / "out.mkv").notes == []
    frame = first_frame(tmp_path / "out.mkv")
    assert (frame.format.name, int(frame.color_trc), HDRMetadata.of(frame)) == ("yuv420p10le", 18, HDRMetadata())


def test_an_encoder_that_cannot_write_them_says_so(nearest, tmp_path):
    (note,) = upscale(nearest, hdr(tmp_path / "in.mkv"), tmp_path / "out.mkv", codec="ffv1").notes
    assert note == "HDR metadata left out, which ffv1 can't write: colours and their tags are kept"


def test_half_of_the_metadata_is_written_alone():
    assert HDRMetadata(light=(1000, 0)).options("libx265") == {"x265-params": "max-cll=1000,0"}
    display = [Fraction(value).limit_denominator(50_000) for value in STATED]
    assert HDRMetadata(display).options("libx264") == {"x264-params": f"mastering-display={DISPLAY}"}
    assert HDRMetadata().options("libx265") == {} == HDRMetadata(display).options("prores_ks")


@pytest.mark.parametrize(
    ("name", "width"), [("h264", 96), ("hevc", 96), ("hevc", 64), ("hevc", 32), ("vp9", 96), ("av1", 96), ("ffv1", 96)]
)
def test_what_is_lossless_gives_the_frames_back(tmp_path, name, width):
    frames = film(6, 64, width)
    source = VideoSource(write(tmp_path / "in.mp4", frames))
    arguments = (source.first, (width, 64), source.time_base, source.rate, None)
    made = {}
    for codec in (CODECS[name], "ffv1"):
        encoding, _ = choose_encoding(Options(lossless=True, pix_fmt="yuv420p"), codec, *arguments)
        with SegmentEncoder(tmp_path / f"{codec}.mkv", encoding) as encoder:
            for stamp, pixels in enumerate(frames):
                encoder.write(pixels, stamp)
        with av.open(str(tmp_path / f"{codec}.mkv")) as container:
            made[codec] = [frame.to_ndarray() for frame in container.decode(video=0)]
    np.testing.assert_array_equal(made[CODECS[name]], made["ffv1"])


def test_the_command_takes_usual_names(sr, weights, tmp_path):
    source = write(tmp_path / "in.mp4", film(2))
    arguments = ("-c", weights(), "--codec", "hevc", "--lossless", "--device", "cpu")
    done = sr("upscale", source, "-o", tmp_path / "out.mkv", *arguments)
    assert done.code == 0, done.err
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
