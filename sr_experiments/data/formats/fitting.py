"""What of an image's metadata fits into a file of another format and size."""

import struct
import zlib
from dataclasses import replace

from PIL import Image

from sr_experiments.data.formats import png
from sr_experiments.data.formats.metadata import Metadata, resolution_of, upright_exif, upright_xmp

CICP = ("AVIF", "HEIC")  # besides PNG: formats that state colours by the codes of H.273

_BARE = ("BMP", "EXR")  # formats without EXIF and XMP
_LONGEST_EXIF, _LONGEST_XMP = 65_527, 65_504  # bytes that fit into a segment of a JPEG
_LARGEST_JFIF_RESOLUTION = 65_535
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _INCH = 282, 283, 296, 2


def of_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """Return the metadata of an upright picture of another size."""
    return replace(
        metadata,
        exif=upright_exif(metadata.exif, width, height) if metadata.exif else None,
        xmp=upright_xmp(metadata.xmp, width, height) if metadata.xmp else None,
    )


def fitting(image_format: str, icc: bytes | None, metadata: Metadata, lost: list[str]) -> Metadata:
    """Return the metadata that fit into a format, for PNG as chunks, and append the names of the others to `lost`."""
    if metadata.geo and image_format != "TIFF":
        lost += metadata.geo.names()
    if metadata.exr and image_format != "EXR" and (names := metadata.exr.described()):
        lost.append(f"attributes of EXR ({', '.join(names)})")
    if image_format == "PNG":
        if metadata.iptc:
            lost.append("IPTC")
        return Metadata(chunks=_png_chunks(icc, metadata))
    if image_format in ("BMP", "JXL", "EXR") and icc:
        lost.append("the colour profile")
    if (colours := metadata.colours(icc is not None)) and (image_format not in CICP or not metadata.of_kind("cICP")):
        lost.append(colours)
    only_exif = image_format in ("WEBP", "AVIF", "HEIC", "JXL")  # they have no other place for a resolution
    exif, xmp, resolution = metadata.exif, metadata.xmp, metadata.resolution
    if only_exif and resolution:
        exif = exif or _exif_of_resolution(resolution)
        resolution = None if resolution_of(exif) else resolution
    dropped = {
        "EXIF": exif and (image_format in _BARE or (image_format == "JPEG" and len(exif) > _LONGEST_EXIF)),
        "XMP": xmp and (image_format in _BARE or (image_format == "JPEG" and len(xmp) > _LONGEST_XMP)),
        "IPTC": metadata.iptc and image_format != "JPEG",
        "the comment": metadata.comment and image_format != "JPEG",
        "text": metadata.of_kind(*png.TEXTS),
        "the resolution": resolution
        and (
            only_exif
            or image_format == "EXR"
            or (image_format == "JPEG" and max(resolution) > _LARGEST_JFIF_RESOLUTION)
        ),
    }
    lost += [name for name, is_lost in dropped.items() if is_lost]
    return Metadata(
        exif=None if dropped["EXIF"] else exif,
        xmp=None if dropped["XMP"] else xmp,
        iptc=metadata.iptc,
        comment=metadata.comment,
        resolution=None if dropped["the resolution"] else resolution,
        chunks=metadata.of_kind("cICP") if image_format in CICP else (),
        exr=metadata.exr if image_format == "EXR" else None,
        geo=metadata.geo if image_format == "TIFF" else None,
    )


def _png_chunks(icc: bytes | None, metadata: Metadata) -> tuple[png.Chunk, ...]:
    """Return the chunks of a PNG file that hold a colour profile and metadata."""
    chunks = list(metadata.chunks)
    if icc:
        chunks.append(("iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if metadata.resolution and not metadata.of_kind("pHYs"):
        per_metre = (min(round(value / 0.0254), 2**31 - 1) for value in metadata.resolution)
        chunks.append(("pHYs", struct.pack(">IIB", *per_metre, 1)))
    if metadata.exif:
        chunks.append(("eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(("iTXt", png.XMP_KEY + bytes(5) + metadata.xmp))
    if metadata.comment:
        text = metadata.comment.decode("utf-8", "replace").replace("\0", " ").encode()
        chunks.append(("iTXt", b"Comment" + bytes(5) + text))
    return tuple(chunks)


def _exif_of_resolution(resolution: tuple[float, float]) -> bytes:
    tags = Image.Exif()
    tags[_X_RESOLUTION], tags[_Y_RESOLUTION] = resolution
    tags[_RESOLUTION_UNIT] = _INCH
    return tags.tobytes().removeprefix(b"Exif\0\0")
