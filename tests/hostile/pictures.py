"""Image files that no camera made."""

import functools
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image


def picture(height: int = 8, width: int = 9, mode: str = "RGB") -> Image.Image:
    values = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes, checksum: int | None = None) -> bytes:
    crc = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png(width: int, height: int, data: bytes, bits: int = 8, colour: int = 2, before: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def animated(kind: str) -> bytes:
    return encoded(kind, picture(), save_all=True, append_images=[picture().rotate(90), picture().rotate(180)])


ANIMATED = ("animated.png", "animated.webp", "gif.png")  # bad where one picture is wanted


@functools.cache
def good() -> dict[str, bytes]:
    """What has to work: name and content."""
    rgb16 = np.arange(8 * 9, dtype=np.uint16).reshape(8, 9) * 700
    return {
        "one.png": encoded("PNG", picture(1, 1)),
        "one.jpg": encoded("JPEG", picture(1, 1)),
        "narrow.png": encoded("PNG", picture(2000, 1)),
        "wide.png": encoded("PNG", picture(1, 65_000)),
        "cmyk.jpg": encoded("JPEG", picture(mode="CMYK")),
        "cmyk.tif": encoded("TIFF", picture(mode="CMYK")),
        "palette.png": encoded("PNG", picture(mode="P"), transparency=3),
        "grey16.png": encoded("PNG", Image.fromarray(rgb16)),
        "black_and_white.png": encoded("PNG", picture(mode="1")),
        "alpha.webp": encoded("WEBP", picture(mode="RGBA")),
        "wrong_extension.png": encoded("JPEG"),
        "ICC.png": encoded("PNG", icc_profile=b"no profile"),
        "exif.jpg": encoded("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"),
    }


@functools.cache
def bad() -> dict[str, bytes]:
    """What has to be refused."""
    whole = {kind: encoded(kind, picture(60, 80)) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP")}
    names = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp"}
    cut = {f"cut_{kind}.{names[kind]}": content[: len(content) // 2] for kind, content in whole.items()}
    text = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(200 << 20)))
    return {
        **cut,
        "empty.png": b"",
        "text.jpg": b"hello",
        "bomb.png": png(100_000, 100_000, zlib.compress(bytes(1 << 20))),
        "bomb16.png": png(100_000, 100_000, zlib.compress(bytes(1 << 20)), bits=16),
        "nearly_bomb.png": png(13_000, 13_000, zlib.compress(bytes(1 << 20))),
        "largest.png": png(2**31 - 1, 2**31 - 1, b""),
        "flat.png": png(0, 5, b""),
        "text_bomb.png": png(8, 8, zlib.compress(bytes(200)), before=text),
        "bits.png": png(8, 8, zlib.compress(bytes(400)), bits=7),
        "animated.png": animated("PNG"),
        "animated.webp": animated("WEBP"),
        "gif.png": animated("GIF"),
        "bomb.bmp": encoded("BMP")[:18] + struct.pack("<ii", 90_000, 90_000) + encoded("BMP")[26:],
        "bomb.tif": tiff(100_000, 100_000),
        "tags.tif": encoded("TIFF")[:4] + struct.pack("<I", 8) + b"\xff\xff" + bytes(range(256)) * 40,
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(ran) (w) file\n",
        "playlist.png": b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n",
        "floats.tif": encoded("TIFF", Image.fromarray(np.full((16, 16), 255, np.float32))),
    }


def tiff(width: int, height: int) -> bytes:
    """A TIFF of one strip of eight bytes, whatever its size."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
               (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 8)]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + directory + bytes(4)


Make = Callable[[], bytes]
TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
WHOLE: dict[str, Make] = {
    "png": lambda: encoded("PNG", picture(20, 30)),
    "jpg": lambda: encoded("JPEG", picture(20, 30), exif=TURNED),
    "webp": lambda: encoded("WEBP", picture(20, 30)),
    "tif": lambda: encoded("TIFF", picture(20, 30), compression="tiff_lzw"),
    "bmp": lambda: encoded("BMP", picture(20, 30)),
    "16.png": lambda: encoded("PNG", Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)),
    "16.tif": lambda: encoded("TIFF", Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)),
    "p.png": lambda: encoded("PNG", picture(20, 30, "P"), transparency=3, icc_profile=b"x" * 200),
}
