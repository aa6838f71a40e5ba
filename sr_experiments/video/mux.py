"""Put the finished segments of a video together, with everything else that the input holds."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.video.container import Companion
from sr_experiments.video.decode import damage, open_container
from sr_experiments.video.encode import NUMBERS, Encoding
from sr_experiments.video.source import Source, VideoSource

_STALE = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration")
_STALE_PREFIXES = ("bps", "number_of_", "_statistics")  # of Matroska's streams
_KNOWN_TO_MP4 = {
    *("title", "artist", "album", "album_artist", "author", "comment", "composer", "copyright", "creation_time"),
    *("date", "description", "disc", "episode_id", "genre", "grouping", "keywords", "language", "lyrics", "network"),
    *("publisher", "show", "synopsis", "track", "timecode", "location"),
}
_BITS_A_CHANNEL = 96_000
_MOV_TEXT_GAP = b"\0\0"  # between subtitles; the muxer makes its own


def mux(
    path: Path,
    container_format: str,
    source: Source,
    encoding: Encoding,
    segments: Sequence[Path],
    delays: Sequence[int],
    companions: Sequence[Companion],
    scale: int,
) -> int:
    """Write the file.

    Time stamps are the input's; those of MPEG streams, which begin anywhere, begin at zero.

    Args:
        path: of the file.
        container_format: FFmpeg's name of it.
        source: of the frames.
        encoding: of the segments.
        segments: files by `SegmentEncoder`, in order.
        delays: theirs.
        companions: other streams of the source.
        scale: by which the frames were enlarged.

    Returns:
        How many frames it holds.

    Raises:
        SRError: the source can't be read any more.
    """
    import av

    with ExitStack() as stack:
        # Without random numbers in the file: the same work gives the same bytes.
        output = stack.enter_context(av.open(str(path), "w", format=container_format, options={"fflags": "+bitexact"}))
        first = stack.enter_context(av.open(str(segments[0])))
        stream = output.add_stream_from_template(first.streams.video[0], opaque=True)
        _describe(stream, encoding, container_format)
        if source.matrix is not None:
            linear, shift = list(source.matrix), slice(6, 8)
            linear[shift] = [value * scale for value in linear[shift]]
            stream.set_display_matrix(linear)
        start = 0.0
        others: Iterable[Any] = ()
        if isinstance(source, VideoSource):
            given = stack.enter_context(open_container(source.path))
            if given.format.name in ("mpegts", "mpeg"):
                start = (given.start_time or 0) / av.time_base
            _copy_tags(given, output, given.streams.video[0], stream)
            output.set_chapters(given.chapters())
            others = _Companions(given, output, companions, start)
        frames = _Frames(segments, source, max(delays, default=0), stream, start)
        output.start_encoding()
        for packet in heapq.merge(frames, others, key=_when):
            output.mux(packet)
        return frames.count


def _describe(stream: Any, encoding: Encoding, container_format: str) -> None:
    """What a Matroska segment doesn't say, or less exactly."""
    stream.time_base = encoding.time_base
    context = stream.codec_context
    context.framerate = encoding.rate
    for name, value in encoding.colours.tags.items():
        setattr(context, name, value)
    if encoding.aspect:
        context.sample_aspect_ratio = encoding.aspect
    if context.name == "hevc" and container_format in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # Apple's players know no other


def _copy_tags(given: Any, output: Any, video: Any, stream: Any) -> None:
    output.metadata.update(_tags(given.metadata))
    stream.metadata.update(_tags(video.metadata))
    stream.disposition = video.disposition
    if output.format.name in ("mp4", "mov") and {key.lower() for key in output.metadata} - _KNOWN_TO_MP4:
        output.container_options["movflags"] = "use_metadata_tags"


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE and not key.lower().startswith(_STALE_PREFIXES)
    }


def _when(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


class _Frames:
    """The packets of all segments, at their times.

    A packet's decoding time is the presentation time `delay` frames before it in their order, as encoders do it;
    so they are in order across segments, too.
    """

    def __init__(self, segments: Sequence[Path], source: Source, delay: int, stream: Any, start: float) -> None:
        self.segments = segments
        self.delay = delay
        self.stream = stream
        self.time_base = source.time_base
        begin = round(start / source.time_base)
        self.stamps = [stamp - begin for stamp in source.stamps]
        usual = max(round(1 / source.rate / source.time_base), 1)
        self.stamps += [self.stamps[-1] + usual * (i + 1) for i in range(delay + 1)]
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        import av

        for segment in self.segments:
            first = self.count
            with av.open(str(segment)) as container:
                for packet in container.demux(video=0):
                    if not packet.size:
                        continue
                    number = first + round(packet.pts * packet.time_base / NUMBERS)
                    packet.time_base = self.time_base
                    packet.pts, packet.dts = self.stamps[number], self._decoded(self.count)
                    packet.duration = self.stamps[number + 1] - self.stamps[number]
                    packet.stream = self.stream
                    self.count += 1
                    yield packet

    def _decoded(self, position: int) -> int:
        if position >= self.delay:
            return self.stamps[position - self.delay]
        return self.stamps[0] - (self.stamps[self.delay] - self.stamps[position])


class _Companions:
    """The packets of the other streams."""

    def __init__(self, given: Any, output: Any, companions: Sequence[Companion], start: float) -> None:
        self.given = given
        self.start = start
        self.copied: dict[int, Any] = {}
        self.encoded: dict[int, Any] = {}
        self.least: dict[int, int] = {}  # decoding time of each stream's next packet
        self.step = 0 if output.format.name in ("matroska", "webm") else 1
        for companion in companions:
            stream = given.streams[companion.index]
            if companion.how == "attach":
                _attach(given, output, stream)
                continue
            if companion.how == "copy":
                made = self.copied[stream.index] = output.add_stream_from_template(stream, opaque=True)
            elif stream.type == "audio":
                made = self.encoded[stream.index] = _audio_encoder(output, stream, companion.codec)
            else:
                made = self.encoded[stream.index] = _subtitle_encoder(output, stream, companion.codec)
            made.metadata.update(_tags(stream.metadata))
            made.disposition = stream.disposition

    def __iter__(self) -> Iterator[Any]:
        wanted = [self.given.streams[index] for index in (*self.copied, *self.encoded)]
        wanted = [stream for stream in wanted if stream.type != "attachment"]  # is in the header
        if not wanted:
            return
        try:
            for packet in self.given.demux(wanted):
                for made in self._made(packet):
                    shift = round(self.start / made.time_base)
                    if packet.stream.type == "video":  # a cover
                        made.pts = made.dts = shift
                    if made.dts is None:
                        made.dts = made.pts
                    if made.dts is not None:
                        made.pts, made.dts = (None if made.pts is None else made.pts - shift), made.dts - shift
                        self._put_in_order(made)
                        yield made
        except damage() as error:
            raise SRError(f"can't read what goes with video {self.given.name}: {error}; replace the file") from error

    def _put_in_order(self, packet: Any) -> None:
        """Muxers want decoding times that grow; those of damaged or joined files don't always."""
        least = self.least.get(packet.stream.index, packet.dts)
        if packet.dts < least:
            packet.dts = least
            packet.pts = least if packet.pts is None else max(packet.pts, least)
        self.least[packet.stream.index] = packet.dts + self.step

    def _made(self, packet: Any) -> Iterator[Any]:
        stream, index = packet.stream, packet.stream.index
        if index in self.copied:
            if packet.size and not (stream.type == "subtitle" and bytes(packet) == _MOV_TEXT_GAP):
                packet.stream = self.copied[index]
                yield packet
        elif stream.type == "audio":
            encoder = self.encoded[index]
            for frame in packet.decode():
                yield from encoder.encode(frame)
            if not packet.size:
                yield from encoder.encode(None)
        elif packet.size and (subtitle := stream.codec_context.decode2(packet)) and len(subtitle):
            encoder = self.encoded[index]
            made = encoder.codec_context.encode_subtitle(subtitle)
            made.stream, made.time_base = encoder, packet.time_base
            made.pts = made.dts = packet.pts
            made.duration = packet.duration
            yield made


def _audio_encoder(output: Any, stream: Any, codec: str) -> Any:
    context, rate = stream.codec_context, stream.codec_context.sample_rate
    encoder = output.add_stream(codec)
    known = encoder.codec_context.codec.audio_rates
    encoder.codec_context.sample_rate = rate if known is None or rate in known else 48000
    encoder.codec_context.layout = context.layout.name
    if codec != "flac":
        encoder.codec_context.bit_rate = _BITS_A_CHANNEL * context.layout.nb_channels
    return encoder


def _subtitle_encoder(output: Any, stream: Any, codec: str) -> Any:
    stream.codec_context.open(strict=False)
    encoder = output.add_stream(codec)
    encoder.codec_context.subtitle_header = stream.codec_context.subtitle_header
    encoder.codec_context.time_base = stream.time_base
    encoder.time_base = stream.time_base
    return encoder


def _attach(given: Any, output: Any, stream: Any) -> None:
    """A cover picture."""
    kind = "png" if stream.codec_context.name == "png" else "jpeg"
    packet = next(packet for packet in given.demux(stream) if packet.size)
    output.add_attachment(f"cover.{'png' if kind == 'png' else 'jpg'}", f"image/{kind}", bytes(packet))
    given.seek(0)
