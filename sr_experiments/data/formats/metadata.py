"""What an image file says about its picture, and how it changes when the picture is turned upright and enlarged."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from sr_experiments.data.formats import png
from sr_experiments.data.formats.directory import Directory, Entry, byte_order, encode_directory, read_directory
from sr_experiments.data.formats.exr_header import ExrHeader
from sr_experiments.data.formats.geotiff import GeoTags

ORIENTATION = 0x0112
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
# Tags that describe the image rather than the file: description, make, model, software, date, artist, copyright.
DESCRIPTIONS = (270, 271, 272, 305, 306, 315, 33432)
UNSPECIFIED = 2  # primaries or transfer of H.273
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)  # of the image: ImageWidth, PixelXDimension
_SHORT, _LONG, _RATIONAL = 3, 4, 5  # types of EXIF values
_RESOLUTIONS, _RESOLUTION_UNIT = (0x011A, 0x011B), 0x0128
INCHES = {2: 1.0, 3: 1 / 2.54}  # a unit of resolution in inches

# Contents of chunks that say that the image is sRGB, as is assumed of images that say nothing.
SRGB_CICP = b"\x01\x0d\x00\x01"
_SRGB_GAMMA = 45455
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


@dataclass(frozen=True)
class Metadata:
    """What can go with an image into another file.

    Attributes:
        exif: EXIF data, from its byte order mark on.
        xmp: an XMP packet.
        iptc: the payload of JPEG's segment of Photoshop, which holds IPTC data.
        comment: of a JPEG file.
        resolution: horizontal and vertical, in pixels per inch.
        chunks: of a PNG file: what its numbers mean, text, size or shape of a pixel; names and contents.
        exr: of an OpenEXR file.
        geo: of a GeoTIFF.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    resolution: tuple[float, float] | None = None
    chunks: tuple[tuple[str, bytes], ...] = ()
    exr: ExrHeader | None = None
    geo: GeoTags | None = None

    def of_kind(self, *names: str) -> tuple[tuple[str, bytes], ...]:
        """Return the chunks of these names."""
        return tuple((name, content) for name, content in self.chunks if name in names)

    def colours(self, profile: bool) -> str:
        """Name the chunks that say that colours are other than sRGB, and other than the colour `profile` if any."""
        chunks = dict(self.of_kind(*png.COLOURS))
        if "cICP" in chunks:
            return "" if chunks["cICP"] == SRGB_CICP else "colours as of cICP"
        if profile or "sRGB" in chunks:
            return ""
        gamma = struct.unpack(">I", chunks["gAMA"])[0] if len(chunks.get("gAMA", b"")) == 4 else _SRGB_GAMMA
        primaries = chunks.get("cHRM", b"")
        known = struct.unpack(">8I", primaries) if len(primaries) == 32 else _SRGB_CHROMATICITIES
        others = [name for name, other in (
            ("gAMA", abs(gamma - _SRGB_GAMMA) > 500),
            ("cHRM", any(abs(a - b) > 100 for a, b in zip(known, _SRGB_CHROMATICITIES, strict=True))),
        ) if other]  # fmt: skip
        return f"colours as of {' and '.join(others)}" if others else ""


def colour_codes(icc: bytes | None, metadata: Metadata) -> tuple[int, int]:
    """Return the primaries and the transfer characteristics, as of H.273, of a picture with this profile."""
    chunks = dict(metadata.of_kind("cICP"))
    if icc and not chunks:
        return UNSPECIFIED, UNSPECIFIED
    return chunks.get("cICP", SRGB_CICP)[0], chunks.get("cICP", SRGB_CICP)[1]


def directory_of(exif: bytes | None) -> Directory:
    """Return the main directory of EXIF data; empty if there are none, or if they are damaged."""
    try:
        order = byte_order(exif or b"")
        (place,) = struct.unpack_from(order + "I", exif or b"", 4)
        return read_directory(BytesIO(exif or b""), order, place)
    except (ValueError, struct.error):
        return {}


def encode_exif(tags: Directory, below: Mapping[int, Directory], order: str) -> bytes | None:
    """Return EXIF data of tags and of the directories below them, by the tags that lead there; None if there are none.

    The values are in the byte order `<` or `>`.
    """
    tags = {**tags, **{tag: Entry(_LONG, 1, bytes(4)) for tag, directory in below.items() if directory}}
    if not tags:
        return None
    end, behind = 8 + len(encode_directory(tags, order, 8)), b""
    for tag, directory in below.items():
        if directory:
            place = end + len(behind)
            tags[tag] = Entry(_LONG, 1, struct.pack(order + "I", place))
            behind += encode_directory(directory, order, place)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + encode_directory(tags, order, 8) + behind


def resolution_of(exif: bytes | None) -> tuple[float, float] | None:
    """Return horizontal and vertical resolution in pixels per inch, as of EXIF data, or None if they don't say it."""
    tags = directory_of(exif)
    if not exif or any(tag not in tags or tags[tag].kind != _RATIONAL for tag in _RESOLUTIONS):
        return None
    order = byte_order(exif)
    unit = INCHES.get(tags[_RESOLUTION_UNIT].number(order) if _RESOLUTION_UNIT in tags else 2)
    ratios = [struct.unpack_from(order + "II", tags[tag].content) for tag in _RESOLUTIONS]
    if unit is None or not all(numerator and denominator for numerator, denominator in ratios):
        return None
    x, y = (round(numerator / denominator / unit, 2) for numerator, denominator in ratios)
    return x, y


def upright_exif(exif: bytes, width: int, height: int) -> bytes:
    """Return EXIF data of a picture that was turned upright and has another size now; all else stays in its place.

    A thumbnail of a picture that was turned is cut off: it is stored as the picture was. Damaged data stay as they are.
    """
    content = bytearray(exif)
    try:
        order = byte_order(exif)
        first = struct.unpack_from(order + "I", content, 4)[0]
        was = _set_tags(content, order, first, width, height)
        if was not in (None, 1):
            (count,) = struct.unpack_from(order + "H", content, first)
            struct.pack_into(order + "I", content, first + 2 + 12 * count, 0)  # the offset of the thumbnail's IFD
    except (ValueError, struct.error):
        return exif
    return bytes(content)


def _set_tags(content: bytearray, order: str, offset: int, width: int, height: int, depth: int = 0) -> int | None:
    """Set size and orientation in an IFD and in the one for EXIF below it; return the orientation it had."""
    (count,) = struct.unpack_from(order + "H", content, offset)
    orientation = None
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", content, entry)
        if values != 1 or kind not in (_SHORT, _LONG):
            continue
        (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), content, entry + 8)
        if tag == ORIENTATION:
            orientation = value
            struct.pack_into(order + "HIHH", content, entry + 2, _SHORT, 1, 1, 0)
        elif tag in _WIDTHS or tag in _HEIGHTS:
            struct.pack_into(order + "HII", content, entry + 2, _LONG, 1, width if tag in _WIDTHS else height)
        elif tag == EXIF_IFD and depth == 0:
            _set_tags(content, order, value, width, height, depth + 1)
    return orientation


def upright_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """Return an XMP packet of a picture that was turned upright and has another size now."""
    for name, value in (
        (b"tiff:Orientation", 1),
        (b"(?:tiff:ImageWidth|exif:PixelXDimension)", width),
        (b"(?:tiff:ImageLength|exif:PixelYDimension)", height),
    ):
        xmp = re.sub(rb"((?:^|\s|<)" + name + rb"\s*(?:=\s*[\"']|>)\s*)\d+", rb"\g<1>%d" % value, xmp)
    return xmp


def described_appendix(xmp: bytes | None) -> str:
    """Name what follows the picture in its file and is described by its XMP, which would be wrong without it."""
    if xmp is None:
        return ""
    names = [
        name
        for name, signs in (
            ("the gain map", (b"hdrgm:", b"HDRGainMap")),
            ("the video", (b"MotionPhoto", b"MicroVideo")),
            ("the pictures after the first", (b"Container:Directory",)),
        )
        if any(sign in xmp for sign in signs)
    ]
    return names[0] if names else ""
