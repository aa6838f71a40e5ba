"""Encode RGB frames with any of FFmpeg's video encoders, at their time stamps."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sr_experiments.errors import SRError
from sr_experiments.inference.options import Options
from sr_experiments.video.colour import Colours, FromRGB, depth

# Encoders that clip what is out of range, or speak about it on standard error.
_CRF = {"libx264": 51, "libx264rgb": 51, "libx265": 51, "libvpx": 63, "libvpx-vp9": 63, "libsvtav1": 63}
_X26_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
_LONGEST_REORDERING = 1000  # frames
LOOKAHEAD = "10"  # frames that x264 keeps; its usual 40 are a quarter of a gigabyte of 1920x1080
NUMBERS = Fraction(1, 1000)  # Matroska's time base: in a segment, time stamps are frame numbers


@dataclass(frozen=True)
class Encoding:
    """How a video is encoded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        options: of it.
        pix_fmt: FFmpeg's name of the pixel format.
        width: in pixels.
        height: in pixels.
        time_base: of the time stamps.
        rate: frames a second, on average.
        colours: of the video.
        aspect: of a pixel.
    """

    codec: str
    options: dict[str, str]
    pix_fmt: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    colours: Colours
    aspect: Fraction | None

    def open(self, context: Any) -> None:
        """Give PyAV's encoder context all of this, and open it.

        Raises:
            av.FFmpegError, ValueError: the encoder can't be opened like this.
        """
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pix_fmt
        context.time_base, context.framerate = self.time_base, self.rate
        for name, value in self.colours.tags.items():
            setattr(context, name, value)
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        context.thread_count = 0
        context.options = dict(self.options)
        with _ordinary_priority():
            context.open()

    def unused_options(self) -> list[str] | None:
        """Try the encoder: the names of options that it doesn't know, or None if it can't be opened like this."""
        import av

        context = av.CodecContext.create(self.codec, "w")
        try:
            self.open(context)
        except (av.FFmpegError, ValueError):
            return None
        return list(context.options)  # those that are left


def choose_encoding(
    options: Options, frame: Any, size: tuple[int, int], time_base: Fraction, rate: Fraction, aspect: Fraction | None
) -> tuple[Encoding, list[str]]:
    """The encoding that the user asks for, tried out.

    The pixel format is the nearest to the input's that the encoder takes at this size: at odd sizes, 4:2:0 becomes
    4:4:4 where the encoder wants even ones.

    Args:
        options: the user's.
        frame: of the input, as PyAV's VideoFrame.
        size: (width, height) of the output.
        time_base: of the time stamps.
        rate: frames a second.
        aspect: of a pixel.

    Returns:
        The encoding, and what has to be said about it.

    Raises:
        SRError: no such encoder, or it doesn't take what is asked for.
    """
    import av

    settings = _settings(options)
    codec = av.codec.Codec(options.codec, "w")
    known = [f.name for f in codec.video_formats or []]
    if options.pix_fmt is not None and known and options.pix_fmt not in known:
        raise SRError(f"{options.codec} can't encode --pix-fmt {options.pix_fmt}: choose one of {' '.join(known)}")
    candidates = [options.pix_fmt] if options.pix_fmt else _by_nearness(frame.format, known or ["yuv420p"])

    def with_format(name: str) -> Encoding:
        colours = Colours.of(frame, bool(av.VideoFormat(name).is_rgb))
        return Encoding(options.codec, settings, name, *size, time_base, rate, colours, aspect)

    tried = ((encoding, encoding.unused_options()) for encoding in map(with_format, candidates))
    chosen, unused = next(((encoding, unused) for encoding, unused in tried if unused is not None), (None, None))
    if chosen is None:
        raise SRError(_refused(options, size))
    if unused:
        raise SRError(f"{options.codec} has no --{unused[0]}: leave it out, or choose another --codec")
    notes = []
    before, after = av.VideoFormat(frame.format.name), av.VideoFormat(chosen.pix_fmt)
    if depth(after) < depth(before):
        notes.append(f"{depth(before)} bits became {depth(after)}: {options.codec} with {chosen.pix_fmt} has no more")
    if options.pix_fmt is None and _chroma(after) > _chroma(before) and any(side % 2 for side in size):
        notes.append(f"encoded as {chosen.pix_fmt}: {options.codec} can't encode {size[0]}x{size[1]} in 4:2:0")
    return chosen, notes


def _settings(options: Options) -> dict[str, str]:
    import av

    try:
        codec = av.codec.Codec(options.codec, "w")
    except (av.codec.codec.UnknownCodecError, ValueError) as error:
        raise SRError(f"no video encoder --codec {options.codec}: try libx264, libx265 or libsvtav1") from error
    if codec.type != "video":
        raise SRError(f"--codec {options.codec} encodes {codec.type}: try libx264, libx265 or libsvtav1")
    if options.pix_fmt is not None:
        try:
            av.VideoFormat(options.pix_fmt)
        except ValueError as error:
            raise SRError(f"no pixel format --pix-fmt {options.pix_fmt}: try yuv420p or yuv420p10le") from error
    settings = {}
    if options.codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors alone; there is no other way to tell it
    if options.codec == "libx265":
        settings["x265-params"] = "log-level=error"
    if options.codec.startswith("libx264") and torch.backends.cpu.get_cpu_capability() == "AVX512":
        # Its mbtree for AVX-512 reads memory that it never wrote: of the same frames, not always the same video.
        settings["x264-params"] = "asm=avx2"
    if options.crf is not None:
        highest = _CRF.get(options.codec)
        if highest is not None and not 0 <= options.crf <= highest:
            raise SRError(f"--crf {options.crf} is out of range: {options.codec} takes 0 (best) to {highest}")
        settings["crf"] = str(options.crf)
        if options.codec.startswith("libvpx"):
            settings["b"] = "0"
    if options.preset is not None:
        if options.codec.startswith("libx26") and options.preset not in _X26_PRESETS:
            raise SRError(f"no --preset {options.preset} of {options.codec}: choose one of {' '.join(_X26_PRESETS)}")
        settings["preset"] = options.preset
    elif options.codec.startswith("libx264"):
        settings["rc-lookahead"] = LOOKAHEAD
    return settings


def _by_nearness(source: Any, names: Sequence[str]) -> list[str]:
    """Pixel formats, the nearest first; those with alpha or of the other kind of colour last."""
    import av

    def distance(name: str) -> tuple:
        target = av.VideoFormat(name)
        other = target.is_rgb != source.is_rgb or name.startswith("yuvj") or len(target.components) in (2, 4)
        missing = max(depth(source) - depth(target), 0), max(_chroma(source) - _chroma(target), 0)
        extra = _chroma(target) - _chroma(source), depth(target) - depth(source)
        return other, missing, not target.is_planar, extra, names.index(name)

    return sorted(names, key=distance)


def _chroma(pix_fmt: Any) -> float:
    """Chroma samples a pixel: 0 of grey, 0.25 of 4:2:0, 1 of 4:4:4 and RGB."""
    if len(pix_fmt.components) < 3:
        return 0.0
    return 1.0 if pix_fmt.is_rgb else pix_fmt.chroma_width(64) * pix_fmt.chroma_height(64) / 64**2


def _refused(options: Options, size: tuple[int, int]) -> str:
    given = {"--crf": options.crf, "--preset": options.preset, "--pix-fmt": options.pix_fmt}
    said = " ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    what = f"{size[0]}x{size[1]}" + (f" with {said}" if said else "")
    return f"{options.codec} refuses to encode {what}: change these, or --codec"


@contextlib.contextmanager
def _ordinary_priority() -> Iterator[None]:
    """SVT-AV1, where it may, makes this thread and its own real-time ones, which leave no processor to others."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in (int(task.name) for task in Path("/proc/self/task").iterdir()):
            with contextlib.suppress(OSError):  # it has ended
                if os.sched_getscheduler(thread) != before[0]:
                    os.sched_setscheduler(thread, *before)


class SegmentEncoder:
    """A Matroska file of frames whose time stamps are their numbers, from 0; use as a context manager.

    Args:
        path: the file.
        encoding: of it.

    Attributes:
        frames: how many were written, once it is closed.
        delay: by how many places frames are stored later than they are shown, at most.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        import av

        self._container = av.open(str(path), "w", format="matroska")
        self._stream: Any = self._container.add_stream(encoding.codec, rate=encoding.rate)
        encoding.open(self._stream.codec_context)
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
        """Encode a frame (H, W, 3) that is shown at `stamp`."""
        frame = self._convert(pixels)
        frame.pts, frame.time_base = stamp, self._encoding.time_base
        self._numbers[stamp] = len(self._numbers)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            number = self._numbers[packet.pts]
            self.delay = max(self.delay, self.frames - number)
            packet.pts, packet.dts = number, self.frames - _LONGEST_REORDERING
            packet.duration, packet.time_base = 1, NUMBERS
            self._container.mux(packet)
            self.frames += 1
