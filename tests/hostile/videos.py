"""Video files that no camera made."""

import functools
import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np

Make = Callable[[], bytes]
FORMATS = {"mp4": "mp4", "mkv": "matroska", "ts": "mpegts", "avi": "avi"}
FRAMES = 9


def film(frames: int = FRAMES, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Something that moves."""
    y, x = np.mgrid[:height, :width]
    return [
        np.stack([(x * 5 + 9 * i) % 256, (y * 7 + i) % 256, (x + y) % 256], 2).astype(np.uint8) for i in range(frames)
    ]


def encoded(
    kind: str, codec: str = "libx264", pictures: Sequence[np.ndarray] | None = None, **options: object
) -> bytes:
    """A whole file."""
    return joined(kind, codec, [film() if pictures is None else pictures], **options)


def joined(
    kind: str, codec: str, films: Sequence[Sequence[np.ndarray]], skip: Sequence[int] = (), pix_fmt: str = "yuv420p",
    gop: int = 4,
) -> bytes:  # fmt: skip
    """One stream of films that were encoded one by one, without the packets whose numbers are in `skip`."""
    buffer, number = io.BytesIO(), 0
    with av.open(buffer, "w", format=FORMATS[kind]) as container:
        stream = container.add_stream(codec, rate=25)
        for i, pictures in enumerate(films):
            context = stream.codec_context if i == 0 else av.CodecContext.create(codec, "w")
            context.height, context.width = pictures[0].shape[:2]
            context.pix_fmt, context.gop_size, context.max_b_frames = pix_fmt, gop, 0
            context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
            if codec == "libx264":
                context.options = {"x264-params": "scenecut=0"}
            frames = [av.VideoFrame.from_ndarray(p, format="rgb24").reformat(format=pix_fmt) for p in pictures]
            for j, frame in enumerate(frames):
                frame.pts = number + j
            for frame in [*frames, None]:
                for packet in context.encode(frame):
                    packet.stream = stream
                    if number not in skip:
                        container.mux(packet)
                    number += 1
    return buffer.getvalue()


def without_frames(kind: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=FORMATS[kind]) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        container.start_encoding()
    return buffer.getvalue()


def sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def with_numbers(content: bytes, box: bytes, at: int, *numbers: int, form: str = ">I") -> bytes:
    """An MP4 in one of whose boxes other numbers stand, `at` bytes behind its name."""
    changed, start = bytearray(content), content.index(box) + 4 + at
    for i, number in enumerate(numbers):
        struct.pack_into(form, changed, start + i * struct.calcsize(form), number)
    return bytes(changed)


def huge_jpegs(kind: str, side: int) -> bytes:
    """Motion JPEG whose pictures say that they are of side x side."""
    content = encoded(kind, "mjpeg", pix_fmt="yuvj420p")
    return content.replace(b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 32, 48),
                           b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", side, side))  # fmt: skip


@functools.cache
def good() -> dict[str, tuple[bytes, int, str]]:
    """What has to work: name, content, frames of the result, and what is said of the rest."""
    mp4, endless = encoded("mp4"), 2**32 - 2
    return {
        "one.mkv": (encoded("mkv", "ffv1", film(3, 1, 1), pix_fmt="bgr0"), 3, ""),
        "small.mp4": (encoded("mp4", "libx264", film(3, 2, 2)), 3, ""),
        "single.mp4": (encoded("mp4", "libx264", film(1)), 1, ""),
        "long.mp4": (with_numbers(mp4, b"mvhd", 16, endless), FRAMES, ""),
        "no_duration.mp4": (with_numbers(with_numbers(mp4, b"mvhd", 16, 0), b"mdhd", 16, 0), FRAMES, ""),
        "large.mp4": (with_numbers(mp4, b"avc1", 24, 65535, 65535, form=">H"), FRAMES, ""),
        "no_key_at_start.mkv": (joined("mkv", "libx264", [film()], skip=[0]), FRAMES - 4, "3 frames"),
        "no_key_at_start.ts": (joined("ts", "libx264", [film()], skip=[0]), FRAMES - 4, "3 frames"),
    }


@functools.cache
def bad() -> dict[str, bytes]:
    """What has to be refused."""
    mp4 = encoded("mp4")
    return {
        **{f"cut.{kind}": encoded(kind)[: -len(encoded(kind)) // 3] for kind in ("mp4", "mkv")},
        "empty.mp4": b"",
        "text.mkv": b"no video" * 99,
        "picture.mp4": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "files.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "sound.mp4": sound(),
        **{f"no_frames.{kind}": without_frames(kind) for kind in ("mp4", "mkv", "ts")},
        "no_key.mkv": joined("mkv", "libx264", [film()], skip=[0], gop=250),
        "other_size.ts": joined("ts", "libx264", [film(4), film(4, 48, 64)]),
        "more_frames.mp4": with_numbers(mp4, b"stsz", 8, 2**31),
        "elsewhere.mp4": with_numbers(mp4, b"stco", 8, 2**31),
        "huge.avi": huge_jpegs("avi", 40_000),
        "huge.mkv": huge_jpegs("mkv", 46_000),
    }


WHOLE: dict[str, Make] = {
    "mp4": lambda: encoded("mp4"),
    "mkv": lambda: encoded("mkv"),
    "ts": lambda: encoded("ts"),
    "avi": lambda: encoded("avi", "mpeg4"),
    "ffv1.mkv": lambda: encoded("mkv", "ffv1"),
    "mjpeg.avi": lambda: encoded("avi", "mjpeg", pix_fmt="yuvj420p"),
}
