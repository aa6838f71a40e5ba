"""Video files as clips: frame-exact access by number, decoding as little as possible."""

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.video.colour import ToRGB

MAX_OPEN = 4  # decoders that a process keeps open, so that neither memory nor file handles run out
MAX_PIXELS = 2**27  # of a frame, 16384x8192; a file that states more is damaged or hostile

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_SEGMENT = b"\x18\x53\x80\x67"  # Matroska's identifier of the segment, which contains everything after the header


class UnreadableVideo(UnreadableImage):
    """A video file is missing, damaged or not a video; the message names the file."""


class VideoFile:
    """Frames of the first video stream of a file, numbered from 0 in presentation order.

    Opening reads all packets but decodes only the first frame (except for AVI and MPEG program streams with B-frames,
    which are slow to seek in: convert them to MKV). The first read opens a decoder, which continues where it stopped
    if frames are read in order, and otherwise starts at the previous keyframe. At most `MAX_OPEN` decoders stay open
    in a process. A VideoFile can be pickled and used on both sides of a fork: every process opens its own decoder.

    Colours are converted with the matrix and range stated in the file, see `video.colour`. A stated rotation is
    applied.

    Args:
        path: the file.
        name: name of the clip; by default the file name without its extension.
        channels: 3 for RGB, 1 for grey (BT.601 luma of RGB).

    Raises:
        UnreadableVideo: the file is missing or damaged, or has no video stream or no frames.
    """

    def __init__(self, path: str | Path, name: str | None = None, channels: int = 3) -> None:
        self.path = Path(path)
        self.name = self.path.stem if name is None else name
        self.channels = channels
        self._decoder: Decoder | None = None
        self._pid = os.getpid()
        self._index = Index(self.path)
        self.frames = len(self._index)
        decoder = Decoder(self.path, self._index)
        self.size = decoder.read(0, channels).shape[:2]
        decoder.close()

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read frames by number, each uint8 (H, W, channels).

        Raises:
            UnreadableVideo: a frame is damaged, or differs in size from the first frame of the file.
        """
        if self._decoder is None or self._pid != os.getpid():
            self._decoder, self._pid = Decoder(self.path, self._index), os.getpid()
        _close_others(self)
        decoder, frames = self._decoder, []
        try:
            for index in indices:
                frame = decoder.read(index, self.channels)
                if frame.shape[:2] != self.size:
                    raise UnreadableVideo(
                        f"can't read frame {index} of {self.path}: it is {frame.shape[1]}x{frame.shape[0]}, "
                        f"the first one {self.size[1]}x{self.size[0]}; split the file there"
                    )
                frames.append(frame)
        except UnreadableVideo:
            self.close()
            raise
        return frames

    def close(self) -> None:
        """Close the decoder; the next read opens another."""
        # A decoder inherited by a fork belongs to the parent process and is only dropped here.
        if self._decoder is not None and self._pid == os.getpid():
            self._decoder.close()
        self._decoder = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoder": None}


_recent: list[weakref.ref] = []  # files with an open decoder, least recently used first; weak, so that they can go


def _close_others(used: VideoFile) -> None:
    """Mark a file as used, and close the decoders of the least recently used ones."""
    _recent[:] = [ref for ref in _recent if ref() is not None and ref() is not used]
    _recent.append(weakref.ref(used))
    while len(_recent) > MAX_OPEN:
        file = _recent.pop(0)()
        if file is not None:
            file.close()


class Index:
    """Index of the frames of a file: time stamps and keyframes, read from its packets.

    If time stamps are missing or unreliable (AVI and MPEG program streams with B-frames), the file is decoded once to
    count its frames, and decoded from the start to go back.

    Attributes:
        stamps: presentation time of each frame, in the stream's time base; frame numbers if `counted`.
        counted: number of frames, if time stamps are unreliable; else None.
        begin: of a file whose frames are counted, the time stamp of the first one, if it has any; else None.
        lost: number of frames before the first keyframe, which can't be decoded.

    Raises:
        UnreadableVideo: the file is missing, damaged or cut off, or has no frames.
    """

    def __init__(self, path: Path) -> None:
        container = open_container(path)
        with container:
            stream = container.streams.video[0]
            stamps, dts, keys, shown = [], [], [], []
            try:
                for packet in container.demux(stream):
                    if not packet.size:  # PyAV ends with an empty packet, which flushes decoders
                        continue
                    if packet.is_corrupt:
                        raise UnreadableVideo(f"can't read video {path}: it is cut off or damaged; replace the file")
                    stamps.append(packet.pts)
                    dts.append(packet.dts)
                    keys.append(packet.is_keyframe)
                    # Packets can be marked as not shown; in VP8, by a bit of their first byte.
                    hidden_vp8 = stream.codec_context.name.startswith(("vp8", "libvpx")) and not bytes(packet)[0] & 16
                    shown.append(not packet.is_discard and not hidden_vp8)
            except damage() as error:
                raise _unreadable(path, error) from error
            kind = container.format.name
            missing = stream.frames - len(stamps) if "mp4" in kind else 0
        if "matroska" in kind and (lost := _missing_bytes_of_matroska(path)) > 0:
            raise UnreadableVideo(f"can't read video {path}: it is cut off, {lost} bytes are missing; replace it")
        if missing > 0:
            raise UnreadableVideo(f"can't read video {path}: it is cut off, {missing} frames are missing; replace it")
        self.counted: int | None = None
        self.begin: int | None = None
        self.lost = 0
        visible = [stamp for stamp, show in zip(stamps, shown, strict=True) if show]
        # Other formats do not store presentation times where these differ from decoding order: FFmpeg guesses them.
        reliable = stamps == dts or any(name in kind for name in ("mp4", "matroska", "mpegts"))
        if not reliable or None in visible or len(set(visible)) < len(visible):
            frames = _frames_from_start(path)
            if (first_frame := next(frames, None)) is not None:
                self.begin = first_frame.pts
            self.counted = sum((1 for _ in frames), int(first_frame is not None))
            self.stamps = np.arange(self.counted)
        else:
            # A position is the number of a packet in decoding order.
            self.positions: dict[int, int] = {stamp: i for i, stamp in enumerate(stamps) if stamp is not None}
            self.key_positions = [i for i, key in enumerate(keys) if key and stamps[i] is not None]
            self.key_stamps = [stamps[i] for i in self.key_positions]
            # FFmpeg seeks by decoding time in most formats.
            self.key_times = [stamps[i] if dts[i] is None else dts[i] for i in self.key_positions]
            # Frames before the first keyframe, in decoding or in presentation order, can't be decoded.
            if self.key_positions:
                first, start = self.key_positions[0], self.key_stamps[0]
                decodable = [s for s in visible if s >= start and self.positions[s] >= first]
                self.lost, visible = len(visible) - len(decodable), decodable
            self.stamps = np.array(sorted(visible) if self.key_positions else [], np.int64)
        if not len(self.stamps):
            raise UnreadableVideo(f"can't read video {path}: it has no frames; replace or remove the file")

    def __len__(self) -> int:
        return len(self.stamps)

    def key_before(self, index: int) -> int:
        """Return the number of the last keyframe that is both decoded and shown no later than frame `index`."""
        stamp = int(self.stamps[index])
        key = int(np.searchsorted(self.key_positions, self.positions[stamp], "right")) - 1
        while key > 0 and self.key_stamps[key] > stamp:
            key -= 1
        return key


class Decoder:
    """An open file. It decodes in order, and seeks to go back or to skip beyond the next keyframe.

    The number of decoding `threads` is as of `open_container`.
    """

    def __init__(self, path: Path, index: Index, threads: int = 1) -> None:
        self.path = path
        self.index = index
        self.threads = threads
        self.container: Any = None
        self.context: Any = None  # of the codec
        self.running: Iterator[tuple[int, Any]] | None = None
        self.last_frame = -1  # number of the last decoded frame
        self.last_position = -1  # position of the last packet given to the decoder
        self.to_rgb = ToRGB(always_8_bits=True, threads=1)

    def read(self, index: int, channels: int) -> np.ndarray:
        """Read a frame as uint8 (H, W, channels), upright."""
        frame = self.frame(index)
        pixels = self.to_rgb(frame)
        if channels == 1:
            pixels = np.array(Image.fromarray(pixels).convert("L"))[:, :, None]
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))

    def frame(self, index: int) -> Any:
        """Decode a frame to PyAV's VideoFrame.

        Raises:
            UnreadableVideo: the frame is damaged.
        """
        if not 0 <= index < len(self.index):
            raise IndexError(f"frame {index} of {self.path}, which has {len(self.index)}")
        try:
            for number, frame in self._frames(index):
                self.last_frame = number
                if number == index and not frame.is_corrupt:
                    return frame
                if number >= index:
                    break
        except damage() as error:
            raise _unreadable(self.path, error, index) from error
        raise UnreadableVideo(f"can't read frame {index} of {self.path}: damaged; replace or remove the file")

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self.running = None
        if self.container is not None:
            self.container.close()
            self.container = None

    def _frames(self, index: int) -> Iterator[tuple[int, Any]]:
        """Return the running decoder if it will reach the frame soonest, else one that starts at a keyframe."""
        if self.index.counted is not None:
            if self.running is None or index <= self.last_frame:
                self.close()
                self.running = enumerate(_frames_from_start(self.path, self.threads))
            return self.running
        key = self.index.key_before(index)
        behind = index <= self.last_frame
        # Seeking pays only if a later keyframe comes before the frame.
        far = index > self.last_frame + 1 and self.index.key_positions[key] > self.last_position
        if self.running is None or behind or far:
            self.running = self._from_key(key)
        return self.running

    def _from_key(self, key: int) -> Iterator[tuple[int, Any]]:
        for packet in self._packets(key):
            self.last_position = self.index.positions.get(packet.pts, self.last_position)
            for frame in self.context.decode(packet):
                # Frames that are not in the index (hidden, or before the first keyframe) are passed over.
                number = int(np.searchsorted(self.index.stamps, -1 if frame.pts is None else frame.pts))
                if number < len(self.index) and self.index.stamps[number] == frame.pts:
                    yield number, frame

    def _packets(self, key: int) -> Iterator[Any]:
        """Yield all packets from a keyframe on; if seeking ends up past it, read from the start of the file."""
        start = self.index.key_positions[key]
        for seek in (True, False):
            opened = self.container is None or not seek
            if opened:
                self.close()
                self.container = open_container(self.path, self.threads)
            stream = self.container.streams.video[0]
            self.context = decoder_of(stream)
            if seek and opened and start > 0 and (self.context.name == "h264" or self.context.pix_fmt == "pal8"):
                # x264 writes its version into the first packet alone. FFmpeg decodes the 4:4:4 of versions before 151
                # by it, and keeps it when it seeks; a decoder that starts at a later keyframe gives rubbish. A palette
                # comes with the first packet, too.
                self.context.decode(next(self.container.demux(stream)))
            if seek and not (opened and start == 0):  # seeking, even to where it is, loses a palette
                self.container.seek(self.index.key_times[key], stream=stream, backward=True)
            packets = self.container.demux(stream)
            for packet in packets:
                position = self.index.positions.get(packet.pts, -1)
                if position == start:
                    yield packet
                    yield from packets
                    return
                if position > start:
                    break
        raise UnreadableVideo(f"can't read video {self.path}: it changed while it was read")


def _frames_from_start(path: Path, threads: int = 1) -> Iterator[Any]:
    container = open_container(path, threads)
    with container:
        stream = container.streams.video[0]
        context = decoder_of(stream)
        try:
            for packet in container.demux(stream):
                yield from context.decode(packet)
        except damage() as error:
            raise _unreadable(path, error) from error


def _missing_bytes_of_matroska(path: Path) -> int:
    """Return by how many bytes a Matroska or WebM file is shorter than its segment states; 0 if it states no size."""
    with path.open("rb") as file:
        start = file.read(4096)
    position = 4  # after the identifier of the EBML header
    for step in ("header", "segment"):
        # EBML sizes are 1 to 8 bytes: the leading zero bits of the first byte give the length; all ones mean unknown.
        length = 9 - start[position].bit_length() if len(start) > position + 8 else 9
        if length > 8:
            return 0
        unknown = (1 << 7 * length) - 1
        size = int.from_bytes(start[position : position + length], "big") & unknown
        position += length
        if size == unknown:
            return 0
        if step == "header":
            position += size
            if start[position : position + 4] != _SEGMENT:
                return 0
            position += 4
    return position + size - path.stat().st_size


def open_container(path: Path, threads: int = 1) -> Any:
    """Open a file with PyAV and check that it has a video stream that can be decoded.

    0 threads are as many as there are cores; the default suits training, where workers are processes already.

    Raises:
        UnreadableVideo: the file is missing or damaged, or has no such stream.
    """
    import av

    if not path.is_file():
        raise UnreadableVideo(f"{path} does not exist")
    try:
        container = av.open(str(path), metadata_errors="ignore")  # metadata need not be UTF-8
    except damage() as error:
        raise _unreadable(path, error) from error
    problem = ""
    if not container.streams.video:
        problem = "it has no video stream; replace or remove the file"
    elif container.streams.video[0].codec_context is None:
        problem = "its codec is unknown; convert it to H.264"
    if problem:
        container.close()
        raise UnreadableVideo(f"can't read video {path}: {problem}")
    stream = container.streams.video[0]
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    return container


def decoder_of(stream: Any) -> Any:
    """Return PyAV's codec context that decodes a video stream: libvpx's if it has alpha, which FFmpeg's own ignore."""
    import av

    own = stream.codec_context
    stated = {name.lower(): value for name, value in stream.metadata.items()}
    if stated.get("alpha_mode") != "1" or own.name not in _ALPHA_DECODERS:
        return own
    context = av.CodecContext.create(_ALPHA_DECODERS[own.name], "r")
    context.options, context.thread_count = {"max_pixels": str(MAX_PIXELS)}, own.thread_count
    return context


def damage() -> tuple[type[Exception], ...]:
    """Return the exceptions that PyAV raises on a damaged file; which one depends on its format and on the damage."""
    import av

    return (av.FFmpegError, OSError, EOFError, ValueError)


def _unreadable(path: Path, error: Exception, index: int | None = None) -> UnreadableVideo:
    what = f"video {path}" if index is None else f"frame {index} of {path}"
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return UnreadableVideo(f"can't read {what}: {reason}; replace or remove the file")
