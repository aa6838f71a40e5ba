"""The chunks of PNG files (https://www.w3.org/TR/png-3)."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = ("cICP", "mDCV", "cLLI", "gAMA", "cHRM", "sRGB")  # chunks that say what the numbers mean
TEXTS = ("tEXt", "zTXt", "iTXt")
XMP_KEY = b"XML:com.adobe.xmp"

_KEPT = (*COLOURS, *TEXTS, "pHYs", "eXIf")
_HEADER = 33  # bytes of the signature and the first chunk
_TAIL = 1 << 16  # bytes at the end of a file in which EXIF data are looked for
_LONGEST_TEXT = 1 << 24  # bytes that are decompressed

Chunk = tuple[str, bytes]


def read_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks that describe the picture, from anywhere in the file."""
    file.seek(len(SIGNATURE))
    while len(header := file.read(8)) == 8:
        length, name = struct.unpack(">I", header[:4])[0], header[4:].decode("latin-1")
        if name in _KEPT:
            yield name, file.read(length)
            length = 0
        file.seek(length + 4, 1)  # and the checksum


def text_of(name: str, content: bytes) -> tuple[bytes, bytes]:
    """Return keyword and text of a text chunk, decompressed; the text is empty if it is damaged or too long."""
    keyword, _, rest = content.partition(b"\0")
    compressed, text = name == "zTXt", rest[1:] if name == "zTXt" else rest
    if name == "iTXt":  # flag, method, language, translated keyword
        compressed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    if compressed:
        try:
            inflater = zlib.decompressobj()
            text = inflater.decompress(text, _LONGEST_TEXT)
        except zlib.error:
            return keyword, b""
        if inflater.unconsumed_tail:
            return keyword, b""
    return keyword, text


def raw_profile(text: bytes) -> bytes:
    """Return what ImageMagick wrote as hexadecimal digits below a name and a length; empty if it is something else."""
    try:
        return bytes.fromhex(text.strip().split(b"\n", 2)[2].decode("ascii"))
    except (IndexError, ValueError):
        return b""


def late_exif(file: BinaryIO) -> bytes | None:
    """Return EXIF data that follow the pixels, as ImageMagick writes them; the pixels are not read."""
    place = file.tell()
    end = file.seek(0, 2)
    file.seek(max(end - _TAIL, 0))
    tail = file.read(_TAIL)
    file.seek(place)
    start = tail.rfind(b"eXIf")
    if start < 4:
        return None
    (length,) = struct.unpack_from(">I", tail, start - 4)
    content, checksum = tail[start + 4 : start + 4 + length], tail[start + 4 + length : start + 8 + length]
    # Compressed pixels can hold these four letters too, but not with a checksum that fits.
    return content if checksum == struct.pack(">I", zlib.crc32(b"eXIf" + content)) else None


def with_chunks(file: bytes, chunks: Sequence[Chunk]) -> bytes:
    """Return a PNG file with further chunks, which are placed before all that follow the header."""
    return b"".join(
        (file[:_HEADER], *(_chunk(name.encode("latin-1"), content) for name, content in chunks), file[_HEADER:])
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
