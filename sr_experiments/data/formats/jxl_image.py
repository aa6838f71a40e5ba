"""JPEG XL files (ISO/IEC 18181): pixels by libjxl through imagecodecs, which tells nothing else, the header by this."""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from sr_experiments.data.depth import Bits
from sr_experiments.data.formats.avif import cicp
from sr_experiments.data.formats.decoded import Decoded, check_pixels, swaps_axes, to_full_range, unassociate
from sr_experiments.data.formats.metadata import Metadata, described_appendix, resolution_of

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

_FILE_TYPE = 20  # bytes of the box after the container's signature
_HEAD = 4096  # bytes of a codestream that hold its header
_LONGEST = 1 << 24  # bytes of a box that is read
_RATIOS = ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SRGB, _P3 = (1, 13), 11  # primaries and transfer; in H.273, P3's primaries with D65's white have another number
_P3_OF_H273 = 12
_ALPHA, _SPOT, _CFA = 0, 2, 5  # kinds of further channels
_LINEAR = 8  # a transfer function
_XYB, _GREY = 2, 1  # colour spaces
_CUSTOM = 2


@dataclass
class Header:
    """What the header of a codestream says."""

    height: int
    width: int
    orientation: int = 1
    animated: bool = False
    floating: bool = False
    further: int = 0  # channels besides the colours
    premultiplied: bool = False
    profile: bool = False  # whether it holds a colour profile
    colours: bytes | None = None  # as PNG's cICP, if other than sRGB
    bits: int = 8  # per channel
    transfer_at: int | None = None  # place of the code of the transfer function, in bits from the start


class JxlImage:
    """An open JPEG XL file.

    Args:
        file: that is read from.

    Raises:
        Exception: it is damaged, or too large.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.boxes = list(_boxes(file))
        head = b"".join(content for name, content in self.boxes if name == b"jxlc")[:_HEAD]
        if not head.startswith(CODESTREAM):
            raise ValueError("damaged")
        self.header = _header(_Bits(head[2:]))
        check_pixels(self.header.width * self.header.height)

    @property
    def several(self) -> str:
        """What it has more than one equal picture of, in words; empty if it has one. Frames aren't counted."""
        return "is an animation" if self.header.animated else ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) when upright, from the header alone."""
        height, width = self.header.height, self.header.width
        return (width, height) if swaps_axes(self.header.orientation) else (height, width)

    @property
    def depth(self) -> Bits:
        """Depth of the picture, from the header alone."""
        return 16 if self.header.bits > 8 else 8

    def decode(self) -> Decoded:
        """Read the picture; libjxl turns it upright."""
        import imagecodecs  # here, since most images don't need it

        if self.header.floating:
            raise ValueError("its numbers are floating-point ones, convert it to 8 or 16 bits per channel")
        if self.header.further > 1:
            raise ValueError(f"it has {self.header.further} channels besides its colours, convert it to PNG")
        self.file.seek(0)
        samples = np.asarray(imagecodecs.jpegxl_decode(self.file.read(), index=0 if self.header.animated else None))
        samples = to_full_range(samples if samples.ndim == 3 else samples[..., None], 2**self.header.bits - 1)
        colours = samples.shape[2] - (self.header.further == 1)
        alpha = np.ascontiguousarray(samples[..., colours:]) if self.header.further else None
        pixels = np.ascontiguousarray(samples[..., :colours])
        if alpha is not None and self.header.premultiplied:
            pixels = unassociate(pixels, alpha)
        lost = ["the colour profile"] if self.header.profile else []
        lost += ["compressed metadata"] if any(name == b"brob" for name, _ in self.boxes) else []
        return Decoded(pixels, alpha, None, tuple(lost), self.header.bits if self.header.bits < 16 else None)

    def metadata(self) -> Metadata:
        """Return what the file says about the picture."""
        boxes = dict(self.boxes)
        exif, xmp = boxes.get(b"Exif", b""), boxes.get(b"xml ") or None
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]  # after the place where it begins
        colours = self.header.colours
        return Metadata(
            exif or None,
            None if described_appendix(xmp) else xmp,
            resolution=resolution_of(exif),
            chunks=(("cICP", colours),) if colours else (),
        )


def encode(content: np.ndarray, quality: int, metadata: Metadata) -> bytes:
    """Encode 1 to 4 channels, uint8 or uint16, as sRGB; uint16 without loss, whatever the quality."""
    import imagecodecs  # here, since most images don't need it

    distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
    pixels = np.ascontiguousarray(content[..., 0] if content.shape[2] == 1 else content)
    lossless = quality == 100 or content.dtype == np.uint16
    way = {"lossless": True} if lossless else {"distance": distance}  # as libjxl's own programs do
    file = bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=True, numthreads=os.cpu_count(), **way))
    if content.dtype == np.uint16:
        file = marked_as_srgb(file)
    return with_metadata(file, metadata.exif, metadata.xmp)


def with_metadata(file: bytes, exif: bytes | None, xmp: bytes | None) -> bytes:
    """Return a file in libjxl's container with EXIF data and XMP."""
    boxes = [(b"Exif", bytes(4) + exif)] if exif else []
    boxes += [(b"xml ", xmp)] if xmp else []
    place = len(CONTAINER) + _FILE_TYPE
    if file[place + 4 : place + 8] == b"jxll":  # the level, which comes next where there is one
        place += int.from_bytes(file[place : place + 4], "big")
    parts = (struct.pack(">I4s", 8 + len(content), name) + content for name, content in boxes)
    return b"".join((file[:place], *parts, file[place:]))


def marked_as_srgb(file: bytes) -> bytes:
    """Return a lossless file of imagecodecs', which says of 16 bits that they are linear in light, as one of sRGB.

    Both codes have the same length, and of a lossless file the numbers stay as they are.
    """
    start = file.index(b"jxlc") + 4 if file.startswith(CONTAINER) else 0
    header = _header(_Bits(file[start + 2 : start + _HEAD]))
    if header.transfer_at is None or header.colours is None or header.colours[1] != _LINEAR:
        return file
    place = 8 * (start + 2) + header.transfer_at + 2  # after how the code is written, as 2 and four bits
    changed = bytearray(file)
    for bit in range(4):
        on = (_SRGB[1] - 2) >> bit & 1
        byte, shift = divmod(place + bit, 8)
        changed[byte] = changed[byte] & ~(1 << shift) | on << shift
    return bytes(changed)


class _Bits:
    """Reader of a codestream's header: the lowest bits of a byte come first."""

    def __init__(self, content: bytes) -> None:
        self._value, self._left, self.place = int.from_bytes(content, "little"), 8 * len(content), 0

    def u(self, count: int) -> int:
        """Read an unsigned integer of so many bits."""
        if count > self._left:
            raise ValueError("it is cut short")
        found = self._value & ((1 << count) - 1)
        self._value, self._left, self.place = self._value >> count, self._left - count, self.place + count
        return found

    def u32(self, *ways: tuple[int, int]) -> int:
        """Read an integer in one of four ways, each an offset and a number of bits."""
        offset, bits = ways[self.u(2)]
        return offset + self.u(bits)

    def enum(self) -> int:
        """Read a number of an enumeration."""
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))


def _header(bits: _Bits) -> Header:
    """Read the size and the metadata of a codestream (ISO/IEC 18181-1, annex D)."""
    header = Header(*_size(bits))
    if bits.u(1):  # all as usual: 8 bits, sRGB
        return header
    if bits.u(1):
        header.orientation = 1 + bits.u(3)
        if bits.u(1):
            _size(bits)  # at which it is meant to be shown
        if bits.u(1):
            _skip_preview(bits)
        header.animated = bool(bits.u(1))
        if header.animated:
            bits.u32((100, 0), (1000, 0), (1, 10), (1, 30))  # ticks a second, and below them
            bits.u32((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.u32((0, 0), (0, 3), (0, 16), (0, 32))  # how often it is shown
            bits.u(1)
    header.floating, header.bits = _depth(bits)
    bits.u(1)  # modular_16bit_buffers
    header.further = bits.u32((0, 0), (1, 0), (2, 4), (1, 12))
    for _ in range(header.further):
        header.premultiplied |= _further_channel(bits)
    bits.u(1)  # whether the colours are stored as XYB
    header.profile, header.colours, header.transfer_at = _colours(bits)
    return header


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.u(1)

    def side() -> int:
        return 8 * (1 + bits.u(5)) if small else bits.u32((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.u(3)
    if not ratio:
        return height, side()
    numerator, denominator = _RATIOS[ratio - 1]
    return height, height * numerator // denominator


def _skip_preview(bits: _Bits) -> None:
    ways = ((16, 0), (32, 0), (1, 5), (33, 9)) if bits.u(1) else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.u32(*ways)
    if not bits.u(3):
        bits.u32(*ways)


def _depth(bits: _Bits) -> tuple[bool, int]:
    """Read whether numbers are floating-point ones, and how many bits they have."""
    if not bits.u(1):
        return False, bits.u32((8, 0), (10, 0), (12, 0), (1, 6))
    depth = bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
    bits.u(4)
    return True, depth


def _further_channel(bits: _Bits) -> bool:
    """Read what a further channel is; return whether it is alpha that the colours are multiplied by."""
    if bits.u(1):
        return False
    kind = bits.enum()
    _depth(bits)
    bits.u32((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.u32((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.u(8)  # its name
    if kind == _ALPHA:
        return bool(bits.u(1))
    if kind == _SPOT:
        bits.u(4 * 16)
    elif kind == _CFA:
        bits.u32((1, 0), (0, 2), (3, 4), (19, 8))
    return False


def _colours(bits: _Bits) -> tuple[bool, bytes | None, int | None]:
    """Return whether colours need a profile, else what they are if other than sRGB, and where the transfer stands."""
    if bits.u(1):
        return False, None, None
    profile, space = bool(bits.u(1)), bits.enum()
    if profile or space == _XYB:
        return profile, None, None
    custom = ((0, 19), (524_288, 19), (1_048_576, 20), (2_097_152, 21))
    white, primaries = bits.enum(), _SRGB[0]
    if white == _CUSTOM:
        bits.u32(*custom), bits.u32(*custom)
    if space != _GREY:
        primaries = bits.enum()
        if primaries == _CUSTOM:
            for _ in range(6):
                bits.u32(*custom)
    if bits.u(1):  # a gamma, for which H.273 has no number
        return True, None, None
    transfer_at, transfer = bits.place, bits.enum()
    if _CUSTOM in (white, primaries):
        return True, None, None
    if primaries == _P3 and white == 1:
        primaries = _P3_OF_H273
    return False, cicp(primaries, transfer), transfer_at


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and contents of what is read of a file; of the codestream, in one part or several, the start."""
    file.seek(0)
    if file.read(2) == CODESTREAM:
        yield b"jxlc", CODESTREAM + file.read(_HEAD)
        return
    end = file.seek(0, io.SEEK_END)
    place = 0
    while place + 8 <= end:
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        begin = place + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            begin += 8
        after = end if length == 0 else place + length
        if after <= place:
            return
        if name == b"jxlc":
            yield name, file.read(min(after - begin, _HEAD))
        elif name == b"jxlp":
            yield b"jxlc", file.read(min(after - begin, _HEAD))[4:]  # after its number
        elif name in (b"Exif", b"xml ", b"brob"):
            yield name, file.read(min(after - begin, _LONGEST))
        place = after
