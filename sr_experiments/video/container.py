"""What else is in a video file than its pictures, and how the output's container can hold it."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.video.decode import open_container
from sr_experiments.video.encode import Encoding

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

_AUDIO = {"mp4": "aac", "mov": "aac", "matroska": "flac", "webm": "libopus"}
_SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_TEXT = ("subrip", "srt", "mov_text", "webvtt", "ass", "ssa", "text")
_REMADE = (None, "bin_data", "none", "tmcd")  # of QuickTime: chapters and time codes, which are written anew


@dataclass(frozen=True)
class Companion:
    """A stream that goes with the video.

    Attributes:
        index: of the stream in the input.
        how: "copy", "encode" or "attach".
        codec: to encode with.
    """

    index: int
    how: str
    codec: str = ""


def container_of(target: Path) -> str:
    """FFmpeg's name of the output's format.

    Raises:
        SRError: an unknown extension.
    """
    try:
        return CONTAINERS[target.suffix.lower()]
    except KeyError:
        known = " ".join(CONTAINERS)
        raise SRError(f"can't write video {target}: choose one of {known} as its extension") from None


def check_holds(target: Path, encoding: Encoding) -> None:
    """See that the output's container can hold the encoded video.

    Raises:
        SRError: it can't.
    """
    import av

    container = av.open(io.BytesIO(), "w", format=container_of(target))
    try:
        encoding.open(container.add_stream(encoding.codec, rate=encoding.rate).codec_context)
        container.start_encoding()
        container.close()
    except (av.FFmpegError, ValueError) as error:
        fitting = "give --codec libvpx-vp9 or libsvtav1, or" if target.suffix.lower() == ".webm" else "choose"
        raise SRError(f"{target.suffix} can't hold what {encoding.codec} makes: {fitting} an output in .mkv") from error


def companions_of(source: Path, target: Path) -> tuple[list[Companion], list[str]]:
    """The streams of a file beside its first video, as they can go into the output; and what is to be said.

    What the container can hold is copied. Other audio is encoded anew, other subtitles of text are converted;
    the rest is left out.
    """
    kind, companions, notes = container_of(target), list[Companion](), list[str]()
    with open_container(source) as container:
        for stream in container.streams:
            name = getattr(stream.codec_context, "name", None) or getattr(stream, "name", None)
            what = f"{stream.type} stream {stream.index} ({name or 'unknown'})"
            if stream.index == container.streams.video[0].index:
                continue
            in_mkv = kind != "matroska" and (
                _fits(stream, "matroska") or (stream.type == "video" and _is_cover(stream))
            )
            better = "; .mkv holds it" if in_mkv else ""
            if stream.type == "video" and not _is_cover(stream):
                notes.append(f"{what} left out: only the first video stream is upscaled")
            elif stream.type == "video" and kind == "matroska":
                companions.append(Companion(stream.index, "attach"))
            elif _fits(stream, kind) and not (stream.type == "video" and kind == "mov"):  # drops covers
                companions.append(Companion(stream.index, "copy"))
            elif stream.type == "audio" and stream.codec_context is not None:
                companions.append(Companion(stream.index, "encode", _AUDIO[kind]))
                notes.append(f"{what} encoded anew as {_AUDIO[kind].removeprefix('lib')}{better}")
            elif stream.type == "subtitle" and name in _TEXT:
                companions.append(Companion(stream.index, "encode", _SUBTITLES[kind]))
                notes.append(f"{what} converted to {_SUBTITLES[kind]}")
            elif stream.type != "data" or name not in _REMADE:
                notes.append(f"{what} left out: {target.suffix} can't hold it{better}")
    return companions, notes


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _fits(template: Any, kind: str) -> bool:
    """Whether a container of this kind can hold a copy of the stream: tried out in memory."""
    import av

    container = av.open(io.BytesIO(), "w", format=kind)
    try:
        stream = container.add_stream_from_template(template, opaque=True)
        stream.disposition = template.disposition
        container.start_encoding()
        container.close()
    except (av.FFmpegError, ValueError):
        return False
    return True
