"""Video files as clips: any frame by its number, exactly, and no more decoded than that takes."""

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.image_files import UnreadableImage

EXTENSIONS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts", ".mpg", ".mpeg")
OPEN_AT_ONCE = 4  # decoders that a process keeps, so that neither memory nor file handles run out

_SEGMENT = b"\x18\x53\x80\x67"  # Matroska's identifier of all but the header
# Colour matrices by their number in the file (ITU-T H.273), as swscale calls them.
MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}
FULL_RANGE = 2
LARGEST = 2**27  # pixels of a frame: 16384x8192; a file that states more is damaged or hostile
SCALER = 0x4 | 0x2000 | 0x40000  # swscale's bicubic, full_chroma_int, accurate_rnd; PyAV 17 has no names for them


class UnreadableVideo(UnreadableImage):
    """A video file that is missing, damaged or no video; the message names it."""


class VideoFile:
    """The frames of a video file's first video stream, numbered from 0 in the order in which they are shown.

    The file is looked through once, without decoding more than its first frame (but for AVI and MPEG program
    streams with B-frames, which are slow to seek in: better converted to MKV). A decoder is opened at the first
    reading, goes on where it stopped as long as frames are asked for in order, and otherwise begins at the
    keyframe before. At most `OPEN_AT_ONCE` stay open in a process. It can be pickled, and used on both sides of
    a fork: every process opens its own.

    Colours are converted with the matrix and the range that the file states; where it states none, BT.709 from
    720 lines up, else BT.601, of limited range. A stated rotation is applied.

    Args:
        path: the file.
        name: of the clip; the file's without its extension, if not given.
        channels: 3 for RGB, 1 for grey (BT.601 luma of RGB).

    Attributes:
        frames: how many there are.
        size: (height, width).

    Raises:
        UnreadableVideo: missing, damaged, without video or without frames.
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
        """Frames by number, each uint8 (H, W, channels).

        Raises:
            UnreadableVideo: one of them is damaged, or of another size than the first frame of the file.
        """
        decoder = self._open()
        frames = []
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
        """Close the decoder; the next reading opens another."""
        # One that a parent process opened is left to it: here it is only forgotten.
        if self._decoder is not None and self._pid == os.getpid():
            self._decoder.close()
        self._decoder = None

    def _open(self) -> "Decoder":
        if self._decoder is None or self._pid != os.getpid():
            self._decoder = Decoder(self.path, self._index)
            self._pid = os.getpid()
        _close_others(self)
        return self._decoder

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoder": None}


_recent: list[weakref.ref] = []  # the files with an open decoder, the last used one at the end


def _close_others(used: VideoFile) -> None:
    _recent[:] = [ref for ref in _recent if ref() is not None and ref() is not used]
    _recent.append(weakref.ref(used))
    while len(_recent) > OPEN_AT_ONCE:
        file = _recent.pop(0)()
        if file is not None:
            file.close()


class Index:
    """Which packet holds which frame: time stamps and keyframes, from the packets alone.

    Where time stamps are missing or can't be relied on (AVI and MPEG program streams with B-frames), the file is
    decoded once to count its frames, and read from the beginning whenever a frame is asked for that lies behind.
    """

    def __init__(self, path: Path) -> None:
        container = open_container(path)
        with container:
            stream = container.streams.video[0]
            stamps, dts, keys, shown = [], [], [], []
            try:
                for packet in container.demux(stream):
                    if not packet.size:
                        continue
                    if packet.is_corrupt:
                        raise UnreadableVideo(f"can't read video {path}: it is cut off or damaged; replace the file")
                    stamps.append(packet.pts)
                    dts.append(packet.dts)
                    keys.append(packet.is_keyframe)
                    # Packets can be marked as not to be shown; those of VP8 can be so in their first byte.
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
        self.lost = 0  # frames before the first keyframe, which can't be decoded
        visible = [stamp for stamp, show in zip(stamps, shown, strict=True) if show]
        # The others state no times of frames that are not shown in the order of decoding: those are guessed.
        timed = stamps == dts or any(name in kind for name in ("mp4", "matroska", "mpegts"))
        if not timed or None in visible or len(set(visible)) < len(visible):
            self.counted = sum(1 for _ in _frames_from_start(path))
            self.stamps = np.arange(self.counted)
        else:
            # By position, that is in the order of decoding.
            self.positions: dict[int, int] = {stamp: i for i, stamp in enumerate(stamps) if stamp is not None}
            self.key_positions = [i for i, key in enumerate(keys) if key and stamps[i] is not None]
            self.key_stamps = [stamps[i] for i in self.key_positions]
            self.key_times = [stamps[i] if dts[i] is None else dts[i] for i in self.key_positions]
            # What comes before the first keyframe, in the file or on the screen, can't be decoded.
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
        """Number of the last keyframe that is both decoded and shown no later than frame `index`."""
        stamp = int(self.stamps[index])
        key = int(np.searchsorted(self.key_positions, self.positions[stamp], "right")) - 1
        while key > 0 and self.key_stamps[key] > stamp:
            key -= 1
        return key


class Decoder:
    """One open file. Frames come in order; what is behind, or beyond the next keyframe, is reached by seeking.

    Args:
        path: the file.
        index: its own.
        threads: to decode with; 0 for as many as there are cores.
    """

    def __init__(self, path: Path, index: Index, threads: int = 1) -> None:
        self.path = path
        self.index = index
        self.threads = threads
        self.container: Any = None
        self.running: Iterator[tuple[int, Any]] | None = None
        self.last = -1  # number of the frame that came last
        self.fed = -1  # position of the packet that was decoded last
        self.converter: Any = None

    def read(self, index: int, channels: int) -> np.ndarray:
        """A frame as uint8 (H, W, channels), upright."""
        return self._picture(self.frame(index), channels)

    def frame(self, index: int) -> Any:
        """A frame as PyAV's VideoFrame.

        Raises:
            UnreadableVideo: it is damaged.
        """
        if not 0 <= index < len(self.index):
            raise IndexError(f"frame {index} of {self.path}, which has {len(self.index)}")
        try:
            for number, frame in self._frames(index):
                self.last = number
                if number == index and not frame.is_corrupt:
                    return frame
                if number >= index:
                    break
        except damage() as error:
            raise _unreadable(self.path, error, index) from error
        raise UnreadableVideo(f"can't read frame {index} of {self.path}: damaged; replace or remove the file")

    def close(self) -> None:
        """Close the file; the next reading opens it again."""
        self.running = None
        if self.container is not None:
            self.container.close()
            self.container = None

    def _frames(self, index: int) -> Iterator[tuple[int, Any]]:
        """The running decoder, if it will come to the frame and there is no shorter way; else from a keyframe."""
        if self.index.counted is not None:
            if self.running is None or index <= self.last:
                self.close()
                self.running = enumerate(_frames_from_start(self.path, self.threads))
            return self.running
        key = self.index.key_before(index)
        behind = index <= self.last
        far = index > self.last + 1 and self.index.key_positions[key] > self.fed
        if self.running is None or behind or far:
            self.running = self._from_key(key)
        return self.running

    def _from_key(self, key: int) -> Iterator[tuple[int, Any]]:
        for packet in self._packets(key):
            self.fed = self.index.positions.get(packet.pts, self.fed)
            for frame in packet.decode():
                number = int(np.searchsorted(self.index.stamps, -1 if frame.pts is None else frame.pts))
                if number < len(self.index) and self.index.stamps[number] == frame.pts:
                    yield number, frame

    def _packets(self, key: int) -> Iterator[Any]:
        """All packets from a keyframe on: some formats seek there, some near it, and some past it."""
        begin = self.index.key_positions[key]
        for jump in (True, False):
            if self.container is None or not jump:
                self.close()
                self.container = open_container(self.path, self.threads)
            stream = self.container.streams.video[0]
            if jump:
                self.container.seek(self.index.key_times[key], stream=stream, backward=True)
            packets = self.container.demux(stream)
            for packet in packets:
                position = self.index.positions.get(packet.pts, -1)
                if position == begin:
                    yield packet
                    yield from packets
                    return
                if position > begin:
                    break
        raise UnreadableVideo(f"can't read video {self.path}: it changed while it was read")

    def _picture(self, frame: Any, channels: int) -> np.ndarray:
        from av.video.reformatter import ColorRange, VideoReformatter

        if self.converter is None:
            self.converter = VideoReformatter()
        arguments: dict[str, Any] = {}
        if not frame.format.is_rgb:
            arguments["src_colorspace"] = matrix_of(frame)
            arguments["src_color_range"] = ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG
        rgb = self.converter.reformat(
            frame,
            format="rgb24",
            interpolation=SCALER,
            dst_color_range=ColorRange.JPEG,
            threads=1,
            **arguments,
        ).to_ndarray()
        if channels == 1:
            rgb = np.array(Image.fromarray(rgb).convert("L"))[:, :, None]
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90) % 4))


def matrix_of(frame: Any) -> str:
    """Swscale's name of a YUV frame's colour matrix; where none is stated, BT.709 from 720 lines up, else BT.601."""
    return MATRICES.get(int(frame.colorspace), "ITU709" if frame.height >= 720 else "ITU601")


def is_full_range(frame: Any) -> bool:
    """Whether black is 0 rather than 16."""
    return frame.color_range == FULL_RANGE or frame.format.name.startswith(("yuvj", "gray"))


def _frames_from_start(path: Path, threads: int = 1) -> Iterator[Any]:
    container = open_container(path, threads)
    with container:
        try:
            yield from container.decode(container.streams.video[0])
        except damage() as error:
            raise _unreadable(path, error) from error


def _missing_bytes_of_matroska(path: Path) -> int:
    """By how much a Matroska or WebM file is shorter than its one segment says; 0 if that says nothing."""
    with path.open("rb") as file:
        start = file.read(4096)
    position = 4  # behind the identifier of the EBML header
    for step in ("header", "segment"):
        length = 9 - start[position].bit_length() if len(start) > position + 8 else 9  # of the size that follows
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
    """A file opened by PyAV, sure to have a video stream that can be decoded.

    Args:
        path: the file.
        threads: to decode it with; 0 for as many as there are cores.

    Raises:
        UnreadableVideo: missing, damaged, without video.
    """
    import av

    if not path.is_file():
        raise UnreadableVideo(f"{path} does not exist")
    try:
        container = av.open(str(path), metadata_errors="ignore")
    except damage() as error:
        raise _unreadable(path, error) from error
    if not container.streams.video:
        container.close()
        raise UnreadableVideo(f"can't read video {path}: it has no video stream; replace or remove the file")
    if container.streams.video[0].codec_context is None:
        container.close()
        raise UnreadableVideo(f"can't read video {path}: its codec is unknown; convert it to H.264")
    container.streams.video[0].codec_context.options = {"max_pixels": str(LARGEST)}
    container.streams.video[0].thread_type = "AUTO"
    container.streams.video[0].codec_context.thread_count = threads  # workers are processes already: one is enough
    return container


def damage() -> tuple[type[Exception], ...]:
    """What PyAV raises on a damaged file, depending on its format and on where the damage is."""
    import av

    return (av.FFmpegError, OSError, EOFError, ValueError)


def _unreadable(path: Path, error: Exception, index: int | None = None) -> UnreadableVideo:
    what = f"video {path}" if index is None else f"frame {index} of {path}"
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return UnreadableVideo(f"can't read {what}: {reason}; replace or remove the file")
