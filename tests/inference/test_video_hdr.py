"""HDR video keeps its depth, tags and static metadata; codecs by their usual names, and without loss."""

import re
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


def nal(kind: int, payload: bytes) -> bytes:
    """A unit of HEVC as Matroska and MP4 hold it, after its length."""
    content = bytes((kind << 1, 1)) + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)
    return len(content).to_bytes(4, "big") + content


def hdr10_plus() -> bytes:
    """A message of SMPTE ST 2094-40 with one window: a SEI of ITU-T T.35, from the country code on."""
    fields = [(1, 2), (400, 27), (0, 1), *[(9000, 17)] * 3, (700, 17), (0, 4), (5, 10), (0, 1), (0, 1), (0, 1)]
    message = bytes((0xB5, 0, 0x3C, 0, 1, 4, 1)) + packed("".join(f"{value:0{width}b}" for value, width in fields))
    return bytes((4, len(message))) + message + b"\x80"


def dolby_vision() -> bytes:
    """A reference processing unit of profile 8 whose curves change nothing (ETSI GS CCM 001)."""

    def ue(value: int) -> str:
        return "0" * (len(f"{value + 1:b}") - 1) + f"{value + 1:b}"

    header = f"{25:08b}{2:06b}{0:011b}{1:04b}{0:04b}1" + "000" + ue(23) + "01" + "0" + ue(2) + ue(2) + ue(4) + "000001"
    pivots = (ue(0) + f"{0:010b}{1023:010b}") * 3
    curves = (ue(0) + ue(0) + "0" + ue(0) + "0" * 23 + ue(1) + "0" * 23) * 3
    return packed(f"{header}00{ue(0) * 3}{pivots}{ue(0) * 2}{curves}") + b"\1\2\3\4\x80"


def packed(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def with_units(source, path, before: bytes, after: bytes):
    """A copy of a file whose packets begin and end with further units."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        for packet in given.demux(video=0):
            if packet.size:
                copy = av.Packet(before + bytes(packet) + after)
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                made.mux(copy)
    return path


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [(nal(39, hdr10_plus()), b"", "HDR10+"), (b"", nal(62, dolby_vision()), "Dolby Vision")],
)
def test_dynamic_metadata_that_is_left_out_is_named(nearest, tmp_path, before, after, name):
    source = with_units(hdr(tmp_path / "in.mkv"), tmp_path / "dynamic.mkv", before, after)
    notes = upscale(nearest, source, tmp_path / "out.mkv").notes
    assert notes == [f"{name} metadata left out, which can't be written: colours, tags and HDR10 metadata are kept"]
    assert HDRMetadata.of(first_frame(tmp_path / "out.mkv")).light == (1000, 400)
    assert upscale(nearest, source, tmp_path / "sdr.mkv", tonemap=True).notes == []


def test_colours_of_an_unknown_matrix_are_named(nearest, tmp_path):
    source = hdr(tmp_path / "in.mkv", {**PQ, "colorspace": 14}, {"x265-params": "log-level=error"})
    (note,) = upscale(nearest, source, tmp_path / "out.mkv").notes
    assert note.startswith("colour matrix 14 of H.273 is not supported: colours are wrong")
