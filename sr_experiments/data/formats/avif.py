"""What AVIF files hold around their picture, in boxes of the ISO base media file format (AVIF 1.2; ISO/IEC 23008-12).

libavif decodes and encodes. Pillow reads 8 bits of what it gives, imagecodecs all of them; neither tells the depth or
the colours of H.273, and imagecodecs writes nothing but pixels.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from sr_experiments.data.formats.decoded import to_levels
from sr_experiments.data.formats.metadata import SRGB_CICP, UNSPECIFIED, Metadata, colour_codes

_LONGEST = 1 << 24  # bytes of a box that is read
_FULL_BOX = 4  # bytes of version and flags
_PRIMARY = 1  # the item of the picture in files that libavif writes
_XMP_TYPE = b"application/rdf+xml"

Box = tuple[bytes, bytes]  # type and content


def brands(file: BinaryIO) -> tuple[bytes, ...]:
    """Return the brands that a file's first box states, the major one first; none if it is of another format."""
    file.seek(0)
    head = file.read(8)
    if len(head) < 8 or head[4:] != b"ftyp":
        return ()
    content = file.read(min(int.from_bytes(head[:4], "big"), 512) - 8)
    file.seek(0)
    return (content[:4], *(content[i : i + 4] for i in range(8, len(content), 4)))


def depth_and_colours(file: BinaryIO) -> tuple[int, bytes | None]:
    """Return the bits per channel, and the colours as PNG's cICP has them if they are stated and other than sRGB."""
    bits, colours = 8, None
    for name, content in _properties(file):
        if name == b"av1C" and len(content) > 2:
            bits = 12 if content[2] & 0x20 else 10 if content[2] & 0x40 else bits
        elif name == b"colr" and content.startswith(b"nclx") and len(content) >= 10:
            colours = cicp(*struct.unpack_from(">HH", content, 4))
    return bits, colours


def cicp(primaries: int, transfer: int) -> bytes | None:
    """Return the content of PNG's cICP for codes of H.273; None if they are sRGB's, or state nothing."""
    if UNSPECIFIED in (primaries, transfer) or max(primaries, transfer) > 255:
        return None
    colours = bytes((primaries, transfer, 0, 1))
    return None if colours == SRGB_CICP else colours


def with_metadata(
    file: bytes, codes: tuple[int, int], icc: bytes | None, exif: bytes | None, xmp: bytes | None
) -> bytes:
    """Return a file of libavif's with the codes of H.273 for primaries and transfer, a profile, EXIF data and XMP."""
    top = list(_boxes(file))
    place = next(i for i, (name, _) in enumerate(top) if name == b"meta")
    given = dict(_boxes(top[place][1][_FULL_BOX:]))
    items = [(b"Exif", bytes(4) + exif)] if exif else []
    items += [(b"mime", xmp)] if xmp else []
    (count,) = struct.unpack_from(">H", given[b"iinf"], _FULL_BOX)
    if items:
        entries = b"".join(
            _box(b"infe", b"\2\0\0\1" + struct.pack(">HH", count + 1 + i, 0) + kind + b"\0" + _content_type(kind))
            for i, (kind, _) in enumerate(items)
        )
        given[b"iinf"] = bytes(_FULL_BOX) + struct.pack(">H", count + len(items)) + given[b"iinf"][6:] + entries
        references = (_box(b"cdsc", struct.pack(">HHH", count + 1 + i, 1, _PRIMARY)) for i in range(len(items)))
        given[b"iref"] = given.get(b"iref", bytes(_FULL_BOX)) + b"".join(references)
    given[b"iprp"] = _with_codes(given[b"iprp"], codes)
    if icc:
        given[b"iprp"] = _with_profile(given[b"iprp"], icc)
    # The places of the items: first to find how much longer the boxes before them are, then as they are.
    growth = 0
    for _ in range(2):
        end = len(file) + growth + 8  # the new items follow the file, in a box of their own
        content = {**given, b"iloc": _with_places(given[b"iloc"], growth, count, [len(x) for _, x in items], end)}
        meta = top[place][1][:_FULL_BOX] + b"".join(_box(name, content[name]) for name in content)
        growth = len(meta) - len(top[place][1])
    top[place] = (b"meta", meta)
    added = [(b"mdat", b"".join(content for _, content in items))] if items else []
    return b"".join(_box(*box) for box in (*top, *added))


def encode(content: np.ndarray, bits: int, quality: int, icc: bytes | None, metadata: Metadata) -> bytes:
    """Encode 1 to 4 channels in 8, 10 or 12 bits; with a colour profile, or the colours of cICP, else as sRGB."""
    import imagecodecs  # here, since most images don't need it

    levels, bits = to_levels(content, bits)
    levels = np.ascontiguousarray(levels)
    file = imagecodecs.avif_encode(
        levels[..., 0] if levels.shape[2] == 1 else levels,
        level=quality,
        bitspersample=bits,
        pixelformat="400" if levels.shape[2] < 3 else "444" if quality >= 90 else "420",
        numthreads=os.cpu_count(),
    )
    return with_metadata(bytes(file), colour_codes(icc, metadata), icc, metadata.exif, metadata.xmp)


def _properties(file: BinaryIO) -> Iterator[Box]:
    """Yield the properties of the pictures of a file."""
    file.seek(0)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"meta":
            content = dict(_boxes(file.read(min(length, _LONGEST) - 8)[_FULL_BOX:]))
            yield from _boxes(dict(_boxes(content.get(b"iprp", b""))).get(b"ipco", b""))
            return
        if length < 8:
            return
        file.seek(length - 8, 1)


def _boxes(content: bytes) -> Iterator[Box]:
    place = 0
    while place + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        if length < 8:
            return
        yield name, content[place + 8 : place + length]
        place += length


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _content_type(kind: bytes) -> bytes:
    return _XMP_TYPE + b"\0" if kind == b"mime" else b""


def _with_codes(properties: bytes, codes: tuple[int, int]) -> bytes:
    """State primaries and transfer where the colour matrix and the range are stated, which libavif always does."""
    place = properties.index(b"colrnclx") + 8
    return properties[:place] + struct.pack(">HH", *codes) + properties[place + 4 :]


def _with_profile(properties: bytes, icc: bytes) -> bytes:
    """Add a colour profile to the properties of the picture."""
    given = dict(_boxes(properties))
    number = sum(1 for _ in _boxes(given[b"ipco"])) + 1
    associations = bytearray(given[b"ipma"])
    start = _FULL_BOX + 4 + 2  # after the number of items and the first item, the picture
    associations[start] += 1
    associations[start + associations[start] : start + associations[start]] = bytes((number,))
    return _box(b"ipco", given[b"ipco"] + _box(b"colr", b"prof" + icc)) + _box(b"ipma", bytes(associations))


def _with_places(places: bytes, growth: int, count: int, lengths: list[int], end: int) -> bytes:
    """Return the box of the items' places with items of these lengths from `end` on; others moved by `growth`."""
    moved = bytearray(places)
    struct.pack_into(">H", moved, 6, count + len(lengths))
    for place in range(8, len(places), 14):  # item, reference, number of extents (1), offset, length
        struct.pack_into(">I", moved, place + 6, struct.unpack_from(">I", places, place + 6)[0] + growth)
    for i, length in enumerate(lengths):
        moved += struct.pack(">HHHII", count + 1 + i, 0, 1, end + sum(lengths[:i]), length)
    return bytes(moved)
