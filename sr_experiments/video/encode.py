"""Encoding of RGB frames with any of FFmpeg's video encoders, at given time stamps."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sr_experiments.errors import SRError
from sr_experiments.processes.priority import normal_priority
from sr_experiments.video.colour import Colours, FromRGB, depth, has_alpha
from sr_experiments.video.formats import CODECS
from sr_experiments.video.hdr import HDRMetadata

# Largest crf of encoders that clip it silently, or complain only on standard error.
_MAX_CRF = {"libx264": 51, "libx264rgb": 51, "libx265": 51, "libvpx": 63, "libvpx-vp9": 63, "libsvtav1": 63}
# The options with which an encoder is lossless; none for those that always are.
_LOSSLESS: dict[str, dict[str, str]] = {
    "libx264": {"qp": "0"},
    "libx264rgb": {"qp": "0"},
    "libx265": {"x265-params": "lossless=1"},
    "libvpx-vp9": {"lossless": "1"},
    "libsvtav1": {"svtav1-params": "lossless=1"},
    **{name: {} for name in ("ffv1", "ffvhuff", "huffyuv", "utvideo", "qtrle", "png")},
}
# Presets of x264 and x265, from fast to slow.
_FAST_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast")
_PRESETS = (*_FAST_PRESETS, "medium", "slow", "slower", "veryslow", "placebo")
_AVX512 = 13  # OpenCV's number of AVX512F, which its Python module doesn't name
_MAX_REORDERING = 1000  # frames; subtracted from decoding times, which must not exceed presentation times
LOOKAHEAD = 10  # frames that x264 and x265 buffer; 40, x264's default, take a quarter of a gigabyte at 1920x1080
SEGMENT_TIME_BASE = Fraction(1, 1000)  # Matroska's; in a segment, time stamps are frame numbers


@dataclass(frozen=True)
class EncoderOptions:
    """Options of the encoder that a user can set; None for the encoder's default."""

    codec: str | None = None  # FFmpeg's name of a video encoder, or None for one that suits the input and the output
    crf: int | None = None  # constant rate factor
    preset: str | None = None
    pix_fmt: str | None = None  # FFmpeg's name of a pixel format, or None for the closest to the input's
    lossless: bool = False  # the encoder loses nothing of the frames in its pixel format


@dataclass(frozen=True)
class Encoding:
    """Complete settings of an encoded video."""

    codec: str  # FFmpeg's name of the encoder
    options: dict[str, str]  # of the encoder
    pix_fmt: str  # FFmpeg's name of the pixel format
    width: int  # in pixels
    height: int
    time_base: Fraction  # unit of the time stamps, in seconds
    rate: Fraction  # average frame rate, in frames per second
    colours: Colours
    aspect: Fraction | None  # aspect ratio of a pixel, or None if square

    @property
    def alpha(self) -> bool:
        """Whether the video has an alpha channel."""
        import av

        return has_alpha(av.VideoFormat(self.pix_fmt))

    def open(self, context: Any) -> None:
        """Apply the settings to PyAV's encoder context and open it.

        Raises:
            av.FFmpegError, ValueError: the encoder does not accept them.
        """
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pix_fmt
        context.time_base, context.framerate = self.time_base, self.rate
        for name, value in self.colours.tags.items():
            setattr(context, name, value)
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        context.thread_count = 0  # as many as there are cores
        if self.codec in ("libx264", "libx264rgb"):
            context.thread_type = "AUTO"  # PyAV's default makes one slice per thread, and so larger files
        context.options = dict(self.options)
        with normal_priority():
            context.open()

    def unused_options(self) -> list[str] | None:
        """Try the encoder and return the options it does not know, or None if it does not accept the settings."""
        import av

        context = av.CodecContext.create(self.codec, "w")
        try:
            self.open(context)
        except (av.FFmpegError, ValueError):
            return None
        return list(context.options)  # opening removes those it knows


def encoders_for(container_format: str, codec: str | None, pix_fmt: Any) -> list[str]:
    """Return encoders that suit an input and the container of its output, best first.

    Transparency is kept before all else; HEVC, AV1 and, in .mov, ProRes stay what they are; more than 8 bits become
    HEVC, whose 10 bits devices play, as they don't H.264's; all else becomes H.264. In .webm it is VP9 or AV1.

    Args:
        container_format: FFmpeg's name.
        codec: FFmpeg's name of the input's, None for images.
        pix_fmt: PyAV's VideoFormat of the input.
    """
    deep = depth(pix_fmt) > 8
    names = []
    if has_alpha(pix_fmt):
        vp9 = codec in ("vp8", "vp9") and not deep
        names += {"mov": ["prores_ks", "qtrle"], "webm": ["libvpx-vp9"], "mp4": []}.get(
            container_format, ["libvpx-vp9"] * vp9 + ["ffv1"]
        )
    if container_format == "webm":
        return [*names, *["libsvtav1"] * deep, "libvpx-vp9"]
    if codec == "prores" and container_format == "mov":
        names.append("prores_ks")
    if codec == "av1" and _chroma(pix_fmt) <= 0.25:
        names.append("libsvtav1")
    if codec == "hevc" or deep:
        names.append("libx265")
    return [*names, "libx264"]


def check_options(options: EncoderOptions) -> None:
    """Check the options that a user gave, apart from any input.

    Raises:
        SRError: no such encoder or pixel format, or the encoder does not know it, or a value is out of range.
    """
    import av

    if options.pix_fmt is not None:
        try:
            av.VideoFormat(options.pix_fmt)
        except ValueError as error:
            raise SRError(f"no pixel format --pix-fmt {options.pix_fmt}: try yuv420p or yuv420p10le") from error
    if options.codec is None:
        return
    try:
        codec = av.codec.Codec(options.codec, "w")
    except (av.codec.codec.UnknownCodecError, ValueError) as error:
        raise SRError(f"no video encoder --codec {options.codec}: choose one of {_known_encoders()}") from error
    if codec.type != "video":
        raise SRError(f"--codec {options.codec} encodes {codec.type}: choose one of {_known_encoders()}")
    if options.lossless and options.codec not in _LOSSLESS:
        raise SRError(f"{options.codec} has no --lossless: choose --codec ffv1, h264, hevc, av1 or vp9")
    if options.lossless and options.crf is not None:
        raise SRError("--lossless leaves nothing to --crf: give one of them")
    known = _formats(options.codec)
    if options.pix_fmt is not None and known and options.pix_fmt not in known:
        raise SRError(f"{options.codec} can't encode --pix-fmt {options.pix_fmt}: choose one of {' '.join(known)}")
    highest = _MAX_CRF.get(options.codec)
    if options.crf is not None and highest is not None and not 0 <= options.crf <= highest:
        raise SRError(f"--crf {options.crf} is out of range: {options.codec} takes 0 (best) to {highest}")
    if options.preset is not None and options.codec.startswith("libx26") and options.preset not in _PRESETS:
        raise SRError(f"no --preset {options.preset} of {options.codec}: choose one of {' '.join(_PRESETS)}")


def choose_encoding(
    options: EncoderOptions,
    codec: str,
    frame: Any,
    size: tuple[int, int],
    time_base: Fraction,
    rate: Fraction,
    aspect: Fraction | None,
    alpha: bool = False,
) -> tuple[Encoding, list[str]]:
    """Choose the encoding with an encoder for the user's options, and check that the encoder accepts it.

    The pixel format is the closest to the input's that the encoder accepts at this size: at odd sizes, 4:2:0 becomes
    4:4:4 if the encoder needs even ones. `frame` is PyAV's VideoFrame of the input, `size` is (width, height) of the
    output; `time_base` to `aspect` are those of `Encoding`; `alpha` says whether to keep the input's alpha channel. The
    notes returned are for the user.

    Raises:
        SRError: no such encoder, or it does not accept the options.
    """
    import av

    options = replace(options, codec=codec)
    check_options(options)
    hdr = HDRMetadata.of(frame)
    settings = _encoder_settings(codec, options, size[0], hdr.options(codec))
    if options.pix_fmt and not alpha and has_alpha(av.VideoFormat(options.pix_fmt)):
        raise SRError(f"--pix-fmt {options.pix_fmt} holds transparency, which the input doesn't have: choose another")
    known = _formats(codec) or ["yuv420p"]
    possible = [name for name in known if alpha or not has_alpha(av.VideoFormat(name))]
    if not possible:
        raise SRError(f"{codec} always writes transparency, which the input doesn't have: choose another --codec")
    candidates = [options.pix_fmt] if options.pix_fmt else _by_similarity(frame.format, possible)

    def with_format(name: str) -> Encoding:
        colours = Colours.of(frame, bool(av.VideoFormat(name).is_rgb))
        # libvpx refuses transparency with alternate reference frames.
        vpx = {"auto-alt-ref": "0"} if codec.startswith("libvpx") and has_alpha(av.VideoFormat(name)) else {}
        return Encoding(codec, {**settings, **vpx}, name, *size, time_base, rate, colours, aspect)

    tried = ((encoding, encoding.unused_options()) for encoding in map(with_format, candidates))
    chosen, unused = next(((encoding, unused) for encoding, unused in tried if unused is not None), (None, None))
    if chosen is None:
        flags = {"--crf": options.crf, "--preset": options.preset, "--pix-fmt": options.pix_fmt}
        given = " ".join(f"{flag} {value}" for flag, value in flags.items() if value is not None)
        what = f"{size[0]}x{size[1]}" + (f" with {given}" if given else "")
        raise SRError(f"{codec} refuses to encode {what}: change these, or --codec")
    if unused:
        raise SRError(f"{codec} has no --{unused[0]}: leave it out, or choose another --codec")
    notes = []
    if hdr != HDRMetadata() and not hdr.options(codec):
        notes.append(f"HDR metadata left out, which {codec} can't write: colours and their tags are kept")
    before, after = av.VideoFormat(frame.format.name), av.VideoFormat(chosen.pix_fmt)
    if alpha and not has_alpha(after):
        notes.append(transparency_lost(f"{codec} in {chosen.pix_fmt}"))
    if depth(after) < depth(before):
        notes.append(f"{depth(before)} bits reduced to {depth(after)}: the most of {codec} in {chosen.pix_fmt}")
    if options.pix_fmt is None and _chroma(after) > _chroma(before) and any(side % 2 for side in size):
        notes.append(f"encoded as {chosen.pix_fmt}: {codec} can't encode {size[0]}x{size[1]} in 4:2:0")
    return chosen, notes


def transparency_lost(where: str) -> str:
    """Return the note that an output has no alpha channel, because `where` can't hold it."""
    return f"transparency was lost: {where} can't hold it; without options of the encoder .mov, .mkv and .webm do"


def _known_encoders() -> str:
    """Return which of the usual encoders this build of FFmpeg has, in words."""
    import av

    def exists(encoder: str) -> bool:
        try:
            return bool(av.codec.Codec(encoder, "w").type == "video")
        except (av.codec.codec.UnknownCodecError, ValueError):
            return False

    usual = " ".join(name for name, encoder in CODECS.items() if exists(encoder))
    return f"{usual}, or another of FFmpeg's encoders"


def _formats(codec: str) -> list[str]:
    """Return FFmpeg's names of the pixel formats of an encoder; none if it does not say."""
    import av

    return [pix_fmt.name for pix_fmt in av.codec.Codec(codec, "w").video_formats or []]


def _encoder_settings(codec: str, options: EncoderOptions, width: int, more: Mapping[str, str]) -> dict[str, str]:
    """Return the options of an encoder, by FFmpeg's names, with `more`, which join those of the same name."""
    settings = {}
    if codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # only errors; it has no option for this
    x265: dict[str, object] = {"log-level": "error"}
    if codec.startswith("libx264"):
        settings.update(repeatable_x264())
    if options.crf is not None:
        settings["crf"] = str(options.crf)
        if codec.startswith("libvpx"):
            settings["b"] = "0"  # without a bit rate of 0, libvpx treats crf as a lower limit only
    if options.preset is not None:
        settings["preset"] = options.preset
    elif codec.startswith("libx264"):
        settings["rc-lookahead"] = str(LOOKAHEAD)
    elif codec == "libx265":
        x265["rc-lookahead"] = str(LOOKAHEAD)
    if codec == "libx265" and width in (32, 64):
        x265["ctu"] = width // 2  # in frames as wide as its blocks, x265 makes pixels wrong
    if codec == "libx265":
        settings["x265-params"] = ":".join(f"{name}={value}" for name, value in x265.items())
    lossless = _LOSSLESS[codec] if options.lossless else {}
    for name, value in (*lossless.items(), *more.items()):
        settings[name] = f"{settings[name]}:{value}" if name in settings else value
    return settings


def repeatable_x264() -> dict[str, str]:
    """Return options of libx264 with which the same frames give the same bits each time.

    With AVX-512, x264's macroblock tree reads uninitialised memory.
    """
    return {"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(_AVX512) else {}


def _by_similarity(source: Any, names: Sequence[str]) -> list[str]:
    """Sort pixel formats by similarity to the source's; those without its alpha or colour model come last."""
    import av

    def distance(name: str) -> tuple:
        target = av.VideoFormat(name)
        opaque = has_alpha(source) and not has_alpha(target)
        grey = _chroma(target) == 0 < _chroma(source)
        differs = opaque, grey, target.is_rgb != source.is_rgb or name.startswith("yuvj"), len(target.components) == 2
        missing = max(depth(source) - depth(target), 0), max(_chroma(source) - _chroma(target), 0)
        extra = _chroma(target) - _chroma(source), depth(target) - depth(source)
        return differs, missing, extra, not target.is_planar, names.index(name)

    return sorted(names, key=distance)


def _chroma(pix_fmt: Any) -> float:
    """Return the chroma samples per pixel: 0 for grey, 0.25 for 4:2:0, 1 for 4:4:4, RGB and palettes."""
    if len(pix_fmt.components) < 3 and not pix_fmt.has_palette:
        return 0.0
    if pix_fmt.is_rgb or pix_fmt.has_palette:
        return 1.0
    return pix_fmt.chroma_width(64) * pix_fmt.chroma_height(64) / 64**2


class SegmentEncoder:
    """Writer of a file whose time stamps are frame numbers, from 0; use as a context manager.

    It is Matroska, or QuickTime for a codec that only this holds.

    Attributes:
        frames: number of frames written, once it is closed.
        delay: largest number of places by which a packet is stored later than it is shown (B-frames).
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        import av

        self._container: Any = av.open(str(path), "w", format="matroska")
        codec = av.codec.Codec(encoding.codec, "w").canonical_name
        if codec not in self._container.supported_codecs:
            self._container.close()
            self._container = av.open(str(path), "w", format="mov")
        self._stream = self._container.add_stream(encoding.codec, rate=encoding.rate)
        self._stream.time_base = SEGMENT_TIME_BASE
        encoding.open(self._stream.codec_context)
        if encoding.alpha and codec in ("vp8", "vp9"):
            self._stream.metadata["alpha_mode"] = "1"  # else decoders ignore it
        self._encoding = encoding
        self._convert = FromRGB(encoding.colours, encoding.pix_fmt)
        self._numbers: dict[int, int] = {}
        self.frames = 0
        self.delay = 0

    def __enter__(self) -> "SegmentEncoder":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self._mux(self._stream.encode(None))
        finally:
            self._container.close()
        if kind is None and self.frames != len(self._numbers):
            raise RuntimeError(f"{self._encoding.codec} made {self.frames} frames of {len(self._numbers)}")

    def write(self, pixels: np.ndarray, stamp: int) -> None:
        """Encode a frame (H, W, 3), or with alpha (H, W, 4), that is shown at time `stamp`."""
        # The encoder sees the true times, which its rate control uses; the file gets numbers.
        frame = self._convert(pixels)
        frame.pts, frame.time_base = stamp, self._encoding.time_base
        self._numbers[stamp] = len(self._numbers)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            number = self._numbers[packet.pts]
            self.delay = max(self.delay, self.frames - number)
            packet.pts, packet.dts = number, self.frames - _MAX_REORDERING
            packet.duration, packet.time_base = 1, SEGMENT_TIME_BASE
            self._container.mux(packet)
            self.frames += 1
