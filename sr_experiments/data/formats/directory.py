"""Directories of tags, of TIFF files and EXIF data, copied byte for byte (TIFF 6.0, section 2; EXIF 2.3, section 4.6).

Nothing is decoded: text is often UTF-8 where ASCII is due, and comments and makers' notes depend on the byte order.
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO, Literal, NamedTuple

Order = Literal["<", ">"]  # little-endian, big-endian

_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 18: 8}
_ORDERS: dict[bytes, Order] = {b"II": "<", b"MM": ">"}


class Entry(NamedTuple):
    """The type of a tag's values, their number, and their bytes."""

    kind: int
    values: int
    content: bytes

    def number(self, order: str) -> int:
        """Return the first value, an unsigned integer; `order` is `<` or `>`."""
        size = _VALUE_BYTES[self.kind]
        return int.from_bytes(self.content[:size], "little" if order == "<" else "big")


Directory = dict[int, Entry]  # by tag


def byte_order(exif: bytes) -> Order:
    """Return `<` or `>`, as of the byte order mark at the start of EXIF data; ValueError if there is none."""
    if exif[:2] not in _ORDERS:
        raise ValueError("no EXIF data")
    return _ORDERS[exif[:2]]


def read_directory(file: BinaryIO, order: str, place: int, big: bool = False) -> Directory:
    """Read the directory at a place of a file, of a BigTIFF if `big`; entries that are damaged are left out.

    Raises:
        struct.error: there is no directory at this place.
    """
    head, entry, inline = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    file.seek(place)
    (count,) = struct.unpack(order + head, file.read(struct.calcsize(order + head)))
    size = struct.calcsize(order + entry) + inline
    content = file.read(size * min(count, 65_535))
    if len(content) < size * count:
        raise struct.error("cut short")
    found: Directory = {}
    for start in range(0, len(content), size):
        tag, kind, values = struct.unpack_from(order + entry, content, start)
        value, length = content[start + size - inline : start + size], values * _VALUE_BYTES.get(kind, 0)
        if length > inline:
            file.seek(struct.unpack(order + ("Q" if big else "I"), value)[0])
            value = file.read(length)
        if length and len(value) >= length:
            found[tag] = Entry(kind, values, value[:length])
    return found


def encode_directory(directory: Mapping[int, Entry], order: str, place: int) -> bytes:
    """Return a directory, with what it holds, as it stands at an even place of a file that is no BigTIFF."""
    entries, beyond = [], b""
    place += 2 + 12 * len(directory) + 4
    for tag, (kind, values, content) in sorted(directory.items()):
        value = content.ljust(4, b"\0")
        if len(content) > 4:
            value = struct.pack(order + "I", place + len(beyond))
            beyond += content + bytes(len(content) % 2)  # places are even
        entries.append(struct.pack(order + "HHI", tag, kind, values) + value)
    return struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4) + beyond
