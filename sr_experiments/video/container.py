"""The other streams of a video file (audio, subtitles, covers), and how the container of the output can hold them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_experiments.video.decode import open_container
from sr_experiments.video.formats import container_of

# Codecs for streams that can't be copied, by container.
_AUDIO = {"mp4": "aac", "mov": "aac", "matroska": "flac", "webm": "libopus"}
_SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_TEXT_SUBTITLES = ("subrip", "srt", "mov_text", "webvtt", "ass", "ssa", "text")


@dataclass(frozen=True)
class ExtraStream:
    """A stream of the input, other than the video, that goes into the output."""

    index: int  # in the input
    action: str  # "copy", "encode" or "attach"
    codec: str = ""  # to encode with; of a copy, where it turns out that the container can't hold it
    name: str = ""  # in words
    hint: str = ""  # what holds it as it is, for messages

    def encoded(self) -> str:
        """Return the note that sound is encoded anew."""
        return f"{self.name} re-encoded as {self.codec.removeprefix('lib')}{self.hint}"


def plan_extra_streams(source: Path, target: Path) -> tuple[list[ExtraStream], list[str]]:
    """Plan what happens to the streams of a file besides its first video stream, and return notes for the user.

    Streams that the container can hold are copied. Other audio is re-encoded, other text subtitles are converted; the
    rest is left out.
    """
    container_format, planned, notes = container_of(target), list[ExtraStream](), list[str]()
    with open_container(source) as container:
        chapters, is_quicktime = len(container.chapters()), "mov" in container.format.name
        for stream in container.streams:
            if stream.index == container.streams.video[0].index:
                continue
            name = getattr(stream.codec_context, "name", None) or getattr(stream, "name", None)
            what = f"{stream.type} stream {stream.index} ({name or 'unknown'})"
            is_cover = stream.type == "video" and stream.disposition & type(stream.disposition).attached_pic
            in_mkv = container_format != "matroska" and (is_cover or _fits(stream, "matroska"))
            hint = "; .mkv holds it" if in_mkv else ""
            if stream.type == "video" and not is_cover:
                notes.append(f"{what} left out: only the first video stream is upscaled")
            elif is_cover and container_format == "matroska":  # where covers are attachments, not streams
                planned.append(ExtraStream(stream.index, "attach", name=what))
            elif stream.type == "data" and (_is_of_chapters(stream, chapters) or timecode(stream)):
                continue  # the muxer writes another from the metadata
            elif stream.type == "data" and not is_quicktime:  # MP4 and MOV need its tag, the others take none
                notes.append(f"{what} left out: {target.suffix} can't hold it")
            elif _fits(stream, container_format) and not (is_cover and container_format == "mov"):  # mov drops covers
                codec = _AUDIO[container_format] if stream.type == "audio" and stream.codec_context is not None else ""
                planned.append(ExtraStream(stream.index, "copy", codec, what, hint))
            elif stream.type == "audio" and stream.codec_context is not None:
                planned.append(ExtraStream(stream.index, "encode", _AUDIO[container_format], what, hint))
                notes.append(planned[-1].encoded())
            elif stream.type == "subtitle" and name in _TEXT_SUBTITLES:
                planned.append(ExtraStream(stream.index, "encode", _SUBTITLES[container_format], what))
                notes.append(f"{what} converted to {_SUBTITLES[container_format]}")
            else:
                notes.append(f"{what} left out: {target.suffix} can't hold it{hint}")
    return planned, notes


def _is_of_chapters(stream: Any, chapters: int) -> bool:
    """Return whether a data stream is QuickTime's of chapters, which FFmpeg reads as binary data, one a chapter."""
    return bool(chapters) and getattr(stream, "name", None) == "bin_data" and stream.frames == chapters


def timecode(stream: Any) -> str | None:
    """Return the time code of the first frame that a stream states, such as 01:00:00:00."""
    return {name.lower(): value for name, value in stream.metadata.items()}.get("timecode")


def _fits(template: Any, container_format: str) -> bool:
    """Return whether a container format can hold a copy of the stream, by writing a header in memory."""
    import av

    container = av.open(io.BytesIO(), "w", format=container_format)
    try:
        stream = container.add_stream_from_template(template, opaque=True)
        stream.disposition = template.disposition
        container.start_encoding()
        container.close()
    except (av.FFmpegError, ValueError):
        return False
    return True
