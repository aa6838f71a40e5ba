"""Muxing: join the encoded segments of a video, and add the other streams and the metadata of the input."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.video.container import ExtraStream, timecode
from sr_experiments.video.decode import damage, open_container
from sr_experiments.video.encode import SEGMENT_TIME_BASE, Encoding
from sr_experiments.video.part import Part
from sr_experiments.video.source import Source, VideoSource

# Metadata that describes the input file rather than its content.
_STALE = ("alpha_mode", "encoder", "major_brand", "minor_version", "compatible_brands", "duration")
_STALE_PREFIXES = ("bps", "number_of_", "_statistics")  # of Matroska's streams
# Metadata with a field of its own in MP4; other keys need the muxer's use_metadata_tags.
_KNOWN_TO_MP4 = {
    *("title", "artist", "album", "album_artist", "author", "comment", "composer", "copyright", "creation_time"),
    *("date", "description", "disc", "episode_id", "genre", "grouping", "keywords", "language", "lyrics", "network"),
    *("publisher", "show", "synopsis", "track", "timecode", "location"),
}
_AUDIO_BIT_RATE = 96_000  # per channel
# The layouts of Opus, by channels: what AC-3 and DTS call sides are its backs. FFmpeg mixes up the order of its 5.0 and
# 6.1, so these become 5.1 and 7.1.
_OPUS_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.1", 6: "5.1", 7: "7.1", 8: "7.1"}
_LAYOUTS = {1: "mono", 2: "stereo"}  # of files that don't say which speakers their channels are for
_SEEK_MARGIN = 10.0  # seconds before a part in which a subtitle may begin that reaches into it
_SOUND_MARGIN = 1  # seconds of sound before a part that its decoder is given
_MOV_TEXT_GAP = b"\0\0"  # an empty subtitle, which fills a gap; the muxer adds its own


def mux(
    path: Path,
    container_format: str,
    source: Source,
    encoding: Encoding,
    segments: Sequence[Path],
    delays: Sequence[int],
    extra_streams: Sequence[ExtraStream],
    extra_packets: int | None = None,
) -> int:
    """Write the output file, in the format of FFmpeg's name, and return the number of frames written.

    Time stamps are those of the input; MPEG streams, which start at any time, are shifted to start at 0. The segments
    are files by `SegmentEncoder`, in order, and each has its delay. The other streams are written whole, or up to a
    number of packets together.

    Raises:
        SRError: the source can no longer be read.
    """
    import av

    with ExitStack() as stack:
        # bitexact: no random identifiers in the file, so that the same input gives the same bytes.
        output = stack.enter_context(av.open(str(path), "w", format=container_format, options={"fflags": "+bitexact"}))
        first = stack.enter_context(av.open(str(segments[0])))
        stream = output.add_stream_from_template(first.streams.video[0], opaque=True)
        _set_properties(stream, encoding, container_format)
        if source.matrix is not None:
            matrix, shift = list(source.matrix), slice(6, 8)  # the translation, in pixels, grows with the frames
            growth = [
                after / before for after, before in zip((encoding.width, encoding.height), source.size, strict=True)
            ]
            if source.on_its_side:  # what is moved is the upright picture
                growth.reverse()
            matrix[shift] = [round(value * factor) for value, factor in zip(matrix[shift], growth, strict=True)]
            stream.set_display_matrix(matrix)
        start = 0.0
        others: Iterable[Any] = ()
        if isinstance(source, VideoSource):
            given = stack.enter_context(open_container(source.path))
            part = source.part
            if part is not None and not part.from_first:
                start = float(part.start)
            elif given.format.name in ("mpegts", "mpeg"):
                start = (given.start_time or 0) / av.time_base
            _copy_metadata(given, output, given.streams.video[0], stream, part)
            output.set_chapters(given.chapters() if part is None else part.chapters(given.chapters()))
            others = islice(_ExtraPackets(given, output, extra_streams, start, part), extra_packets)
        video_packets = _video_packets(segments, source, max(delays, default=0), stream, start)
        output.start_encoding()
        frames = 0
        for packet in heapq.merge(video_packets, others, key=_seconds):
            frames += packet.stream is stream
            output.mux(packet)
        return frames


def _seconds(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


def _set_properties(stream: Any, encoding: Encoding, container_format: str) -> None:
    """Set the properties of a stream that a Matroska segment does not store, or not exactly."""
    stream.time_base = encoding.time_base
    context = stream.codec_context
    context.framerate = encoding.rate
    for name, value in encoding.colours.tags.items():
        setattr(context, name, value)
    if encoding.aspect:
        context.sample_aspect_ratio = encoding.aspect
    if context.name == "hevc" and container_format in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # FFmpeg's default, hev1, does not play on Apple devices
    if context.name == "prores" and container_format == "mov":
        context.codec_tag = "ap4h" if "444" in encoding.pix_fmt else "apch"  # FFmpeg's default is apch for all
    if encoding.alpha and context.name in ("vp8", "vp9"):
        stream.metadata["alpha_mode"] = "1"  # else decoders ignore it


def _copy_metadata(given: Any, output: Any, video: Any, stream: Any, part: Part | None) -> None:
    output.metadata.update(_valid_metadata(given.metadata))
    stream.metadata.update(_valid_metadata(video.metadata))
    stated = [found for given_stream in (video, *given.streams.data) if (found := timecode(given_stream))]
    if part is not None and not part.from_first:  # it is of the first frame of all
        for metadata in (output.metadata, stream.metadata):
            for key in [key for key in metadata if key.lower() == "timecode"]:
                del metadata[key]
    elif stated:
        stream.metadata["timecode"] = stated[0]
    stream.disposition = video.disposition
    if output.format.name in ("mp4", "mov") and {key.lower() for key in output.metadata} - _KNOWN_TO_MP4:
        output.container_options["movflags"] = "use_metadata_tags"


def _valid_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata that is still valid for the output."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE and not key.lower().startswith(_STALE_PREFIXES)
    }


def _video_packets(segments: Sequence[Path], source: Source, delay: int, stream: Any, start: float) -> Iterator[Any]:
    """Yield the packets of all segments, with the time stamps of the source.

    The decoding time of packet number i is the presentation time of frame number i - `delay`, as encoders do it, so
    decoding times increase across segments too.
    """
    import av

    offset = round(start / source.time_base)
    stamps = [stamp - offset for stamp in source.stamps]
    # Continued at the average rate: for the duration of the last frame, and for delays longer than the video.
    interval = max(round(1 / source.rate / source.time_base), 1)
    stamps += [source.end - offset + interval * i for i in range(delay + 1)]
    decoding_stamps = [stamps[0] - (stamps[delay] - stamp) for stamp in stamps[:delay]] + stamps
    position = 0
    for segment in segments:
        first = position
        with av.open(str(segment)) as container:
            for packet in container.demux(video=0):
                if not packet.size:
                    continue
                number = first + round(packet.pts * packet.time_base / SEGMENT_TIME_BASE)
                packet.time_base = source.time_base
                packet.pts, packet.dts = stamps[number], decoding_stamps[position]
                packet.duration = stamps[number + 1] - stamps[number]
                packet.stream = stream
                position += 1
                yield packet


class _ExtraPackets:
    """The packets of the other streams, copied or re-encoded; of a part those that begin in it."""

    def __init__(
        self, given: Any, output: Any, extra_streams: Sequence[ExtraStream], start: float, part: Part | None
    ) -> None:
        self.given = given
        self.start = start
        self.part = part
        self.copied: dict[int, Any] = {}  # output streams, by the index of the input stream
        self.encoded: dict[int, Any] = {}
        self.earliest: dict[int, int] = {}  # earliest valid decoding time of the next packet of each output stream
        self.step = 0 if output.format.name in ("matroska", "webm") else 1  # others refuse equal decoding times
        for extra in extra_streams:
            stream = given.streams[extra.index]
            if extra.action == "attach":
                _attach_cover(given, output, stream)
                continue
            if extra.action == "copy":
                target = self.copied[stream.index] = output.add_stream_from_template(stream, opaque=True)
            elif stream.type == "audio":
                target = self.encoded[stream.index] = _audio_encoder(output, stream, extra.codec)
            else:
                target = self.encoded[stream.index] = _subtitle_encoder(output, stream, extra.codec)
            target.metadata.update(_valid_metadata(stream.metadata))
            target.disposition = stream.disposition

    def __iter__(self) -> Iterator[Any]:
        streams = [self.given.streams[index] for index in (*self.copied, *self.encoded)]
        streams = [stream for stream in streams if stream.type != "attachment"]  # attachments are in the header
        if not streams:
            return
        try:
            if self.part is not None and self.start > _SEEK_MARGIN:
                self.given.seek(round((self.start - _SEEK_MARGIN) * 1_000_000))
            for given in self.given.demux(streams):
                for packet in self._convert(given):
                    shift = round(self.start / packet.time_base)
                    if given.stream.type == "video":  # a cover, which has no time
                        packet.pts = packet.dts = shift
                    if packet.dts is None:
                        packet.dts = packet.pts
                    if packet.dts is not None:
                        packet.pts = None if packet.pts is None else packet.pts - shift
                        packet.dts -= shift
                        self._fix_order(packet)
                        yield packet
        except damage() as error:
            raise SRError(f"can't read the other streams of video {self.given.name}: {error}; replace it") from error

    def _fix_order(self, packet: Any) -> None:
        """Delay a packet if needed: muxers require increasing decoding times, which damaged or joined files lack."""
        earliest = self.earliest.get(packet.stream.index, packet.dts)
        if packet.dts < earliest:
            packet.dts = earliest
            packet.pts = earliest if packet.pts is None else max(packet.pts, earliest)
        self.earliest[packet.stream.index] = packet.dts + self.step

    def _in_part(self, packet: Any) -> bool:
        """Return whether a packet belongs to the part; a subtitle that reaches beyond it is cut."""
        time = packet.dts if packet.pts is None else packet.pts
        if self.part is None or time is None or packet.stream.type == "video":  # a cover has no time
            return True
        begin = time * packet.time_base
        if packet.stream.type != "subtitle" or not packet.duration:
            return self.part.holds(begin)
        span = self.part.cut(begin, begin + packet.duration * packet.time_base)
        if span is not None:
            packet.pts = packet.dts = round((span[0] + self.part.start) / packet.time_base)
            packet.duration = round((span[1] - span[0]) / packet.time_base)
        return span is not None

    def _is_long_before(self, packet: Any) -> bool:
        """Return whether a packet of sound can't matter to the part; the first after a seek may lack its beginning."""
        if self.part is None or self.part.from_first or packet.pts is None:
            return False
        return bool(packet.pts * packet.time_base < self.part.start - _SOUND_MARGIN)

    def _convert(self, packet: Any) -> Iterator[Any]:
        """Yield the output packets of an input packet."""
        stream, index = packet.stream, packet.stream.index
        if not (index in self.encoded and stream.type == "audio") and not self._in_part(packet):
            return
        if index in self.copied:
            if packet.size and not (stream.type == "subtitle" and bytes(packet) == _MOV_TEXT_GAP):
                packet.stream = self.copied[index]
                yield packet
        elif stream.type == "audio":
            encoder = self.encoded[index]
            for frame in () if self._is_long_before(packet) else packet.decode():
                if self.part is None or self.part.holds(Fraction(frame.pts or 0) * frame.time_base):
                    yield from encoder.encode(frame)
            if not packet.size:  # the last packet of a stream is empty
                yield from encoder.encode(None)
        elif packet.size and (subtitle := stream.codec_context.decode2(packet)) and len(subtitle):
            encoder = self.encoded[index]
            encoded = encoder.codec_context.encode_subtitle(subtitle)
            encoded.stream, encoded.time_base = encoder, packet.time_base
            encoded.pts = encoded.dts = packet.pts
            encoded.duration = packet.duration
            yield encoded


def _audio_encoder(output: Any, stream: Any, codec: str) -> Any:
    context, rate = stream.codec_context, stream.codec_context.sample_rate
    encoder = output.add_stream(codec)
    known = encoder.codec_context.codec.audio_rates
    encoder.codec_context.sample_rate = rate if known is None or rate in known else 48000  # Opus takes few rates
    layout = context.layout
    usual = _OPUS_LAYOUTS if codec == "libopus" else _LAYOUTS if layout.name == f"{layout.nb_channels} channels" else {}
    encoder.codec_context.layout = usual.get(layout.nb_channels, layout.name)
    if codec != "flac":
        encoder.codec_context.bit_rate = _AUDIO_BIT_RATE * context.layout.nb_channels
    return encoder


def _subtitle_encoder(output: Any, stream: Any, codec: str) -> Any:
    stream.codec_context.open(strict=False)  # the header below is known only once the decoder is open
    encoder = output.add_stream(codec)
    encoder.codec_context.subtitle_header = stream.codec_context.subtitle_header
    encoder.codec_context.time_base = stream.time_base
    encoder.time_base = stream.time_base
    return encoder


def _attach_cover(given: Any, output: Any, stream: Any) -> None:
    name, media_type = ("cover.png", "image/png") if stream.codec_context.name == "png" else ("cover.jpg", "image/jpeg")
    packet = next(packet for packet in given.demux(stream) if packet.size)
    output.add_attachment(name, media_type, bytes(packet))
    given.seek(0)  # the other streams are read from the start
