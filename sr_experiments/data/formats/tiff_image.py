"""TIFF files of every depth, by tifffile, with what their tags say about the numbers (TIFF 6.0)."""

import logging
import math
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image
from tifffile import PHOTOMETRIC, TiffPage

from sr_experiments.data.depth import Bits, in_range, to_depth
from sr_experiments.data.formats.decoded import (
    Decoded,
    check_pixels,
    cmyk_to_rgb,
    swaps_axes,
    to_full_range,
    unassociate,
    upright,
)
from sr_experiments.data.formats.directory import Entry, byte_order, encode_directory, read_directory
from sr_experiments.data.formats.geotiff import TAGS, GeoTags, has_camera
from sr_experiments.data.formats.metadata import (
    DESCRIPTIONS,
    EXIF_IFD,
    GPS_IFD,
    INCHES,
    ORIENTATION,
    Metadata,
    directory_of,
    encode_exif,
)

# Its warnings of odd tags are of no use to those who train or upscale.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

_X_RESOLUTION, _Y_RESOLUTION, _UNIT, _XMP, _ICC, _INK_SET, _IPTC = 282, 283, 296, 700, 34675, 332, 33723
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4  # sample formats
_COLOURS = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
    PHOTOMETRIC.CIELAB: 3,
}  # channels
_FLOATING = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
_JPEG = (6, 7, 33007, 34892)  # compressions whose decoder returns RGB for YCbCr
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of alpha
_MAX_CHANNELS = 16
_LARGEST = 2**32 - 2**25  # bytes; tifffile makes larger ones BigTIFF, to which EXIF data are not added
_INCH = 2  # unit of resolution
_DESCRIPTION = 270
_INTEROPERABILITY = 40965  # place of a directory in the file that EXIF data were read from
_BYTE, _ASCII, _LONG = 1, 2, 4  # types of tags
_MAX_BANDS = 32


class TiffImage:
    """An open TIFF file, of which the first picture is meant that is neither a preview nor a mask.

    Args:
        file: that is read from.

    Raises:
        Exception: whatever tifffile raises on a file that is damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.tiff = tifffile.TiffFile(file)
        self.page: Any = next((page for page in self.tiff.pages if _is_picture(page)), self.tiff.pages[0])

    @property
    def several(self) -> str:
        """What it has more than one equal picture of, in words; empty if it has one: pages but previews and masks."""
        return f"has {count} pictures" if (count := self.pages) > 1 else ""

    @property
    def pages(self) -> int:
        """Number of equal pictures: pages but previews and masks."""
        return sum(map(_is_picture, self.tiff.pages))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) when upright, from the tags alone."""
        height, width = self.page.imagelength, self.page.imagewidth
        return (width, height) if swaps_axes(self._orientation()) else (height, width)

    def decode(self) -> Decoded:
        """Read the picture: palettes and CMYK become RGB; floating-point numbers stay what they are."""
        page = self.page
        _check(page)
        if _is_for_pillow(page):
            return self._decode_by_pillow()
        samples = self._samples(page)
        count, alpha = _colours_of(page), None
        colours, lost = samples[..., :count], self._unread()
        extra = page.extrasamples[count - _COLOURS[page.photometric] :] or (_UNASSOCIATED,) * (
            samples.shape[2] == count + 1
        )  # some programs leave it out
        kind = next((kind for kind in extra if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
        if kind is not None:
            place = count + extra.index(kind)
            alpha = self._scaled(samples[..., place : place + 1])
        if others := samples.shape[2] - count - (kind is not None):
            lost.append(f"{others} further channel{'s' if others > 1 else ''}")
        if page.photometric == PHOTOMETRIC.PALETTE:
            colours = _looked_up(colours, page.colormap)
        else:
            colours = self._scaled(colours)
        if alpha is not None and kind == _ASSOCIATED:
            colours = unassociate(colours, alpha)
        if colours.dtype.kind == "f":
            colours = colours.astype(np.float32, copy=False)
            alpha = None if alpha is None else in_range(alpha.astype(np.float32, copy=False))
        if page.photometric == PHOTOMETRIC.MINISWHITE:
            colours = (1 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max) - colours
        icc = self._bytes(_ICC)
        if page.photometric == PHOTOMETRIC.SEPARATED:
            if colours.dtype == np.uint16:
                lost.append("16 bits per channel of CMYK")
                alpha = None if alpha is None else to_depth(alpha, 8)
            colours, icc = np.array(cmyk_to_rgb(_image("CMYK", to_depth(colours, 8)), icc)), None
        return Decoded(np.ascontiguousarray(colours), alpha, icc, tuple(lost))

    def decode_bands(self) -> Decoded:
        """Read all samples of the picture, whatever they mean, or one of each page where there are several pages."""
        chosen = self._pages_of_bands() or [self.page]
        for page in chosen:
            _check_samples(page, _MAX_BANDS)
        if len({(page.bitspersample, page.sampleformat) for page in chosen}) > 1:
            raise ValueError("its pages differ in depth; convert it to 8 or 16 bits per channel")
        samples = self._scaled(np.concatenate([self._samples(page) for page in chosen], 2))
        if samples.dtype.kind == "f":
            samples = samples.astype(np.float32, copy=False)
        return Decoded(samples, None, None, tuple(self._unread()))

    @property
    def depth(self) -> Bits:
        """Depth of the picture, from the tags alone."""
        if self.page.sampleformat == _FLOAT:
            return "float"
        deep = isinstance(self.page.bitspersample, int) and self.page.bitspersample > 8
        return 16 if deep and self.page.photometric != PHOTOMETRIC.SEPARATED else 8

    @property
    def bands(self) -> int | None:
        """Number of bands of a picture that is neither grey nor RGB; None if it is, with alpha or without."""
        page = self.page
        known = set(page.extrasamples) & {_ASSOCIATED, _UNASSOCIATED}
        is_grey = _colours_of(page) == 1
        return page.samplesperpixel if is_grey and page.samplesperpixel > 1 and not known else None

    @property
    def pages_of_bands(self) -> int:
        """Number of pages that may be bands: 0 if there is one, or if they differ or have several samples."""
        return len(self._pages_of_bands())

    def _pages_of_bands(self) -> list[Any]:
        pages: list[Any] = [page for page in self.tiff.pages if _is_picture(page)]
        alike = all((p.imagelength, p.imagewidth, p.samplesperpixel) == (*self._stored(), 1) for p in pages)
        return pages if len(pages) > 1 and alike else []

    def metadata(self) -> Metadata:
        """Return what the file says about the picture."""
        unit = INCHES.get(self._value(_UNIT, 2))
        x, y = (_ratio(self._value(tag, (0, 1))) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        return Metadata(
            exif=self._exif(),
            xmp=self._bytes(_XMP),
            resolution=(x / unit, y / unit) if unit and x and y else None,
            geo=self._geo()[0],
        )

    def _decode_by_pillow(self) -> Decoded:
        """Read colours that tifffile doesn't convert to RGB."""
        self.file.seek(0)
        image = Image.open(self.file, formats=("TIFF",))
        image.seek(self.page.index)
        image.load()  # it is upright then
        icc = self._bytes(_ICC) if self.page.photometric == PHOTOMETRIC.YCBCR else None  # CIELAB's is not of RGB
        return Decoded(np.array(image.convert("RGB")), None, icc)

    def _stored(self) -> tuple[int, int]:
        return self.page.imagelength, self.page.imagewidth

    def _samples(self, page: Any) -> np.ndarray:
        """Read all samples of a page, upright, (H, W, samples)."""
        samples = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # (planes, H, W, channels)
        return upright(np.concatenate(list(samples), 2), self._orientation())

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """Scale integers from their own maximum to the whole range of their type; floating-point numbers stay."""
        return values if values.dtype.kind == "f" else to_full_range(values, 2**self.page.bitspersample - 1)

    def _orientation(self) -> int:
        return int(self._value(ORIENTATION, 1))

    def _value(self, tag: int, otherwise: Any) -> Any:
        return self.page.tags[tag].value if tag in self.page.tags else otherwise

    def _bytes(self, tag: int) -> bytes | None:
        value = self._value(tag, None)
        return bytes(value) if isinstance(value, bytes) and value else None

    def _exif(self) -> bytes | None:
        """Return the tags that describe the image, and those of the directories for EXIF and GPS, as EXIF data."""
        order, big = self.tiff.byteorder, self.tiff.is_bigtiff
        try:
            tags = read_directory(self.file, order, self.page.offset, big)
            below = {
                tag: read_directory(self.file, order, tags[tag].number(order), big)
                for tag in (EXIF_IFD, GPS_IFD)
                if tag in tags
            }
        except struct.error:  # damaged tags are no reason not to read the picture
            return None
        if self._is_of_layout():
            tags.pop(_DESCRIPTION, None)
        return encode_exif({tag: tags[tag] for tag in DESCRIPTIONS if tag in tags}, below, order)

    def _is_of_layout(self) -> bool:
        """Return whether the description tells programs how to read the file, which is wrong at another size."""
        return bool(self.page.is_shaped or self.page.is_imagej or self.page.is_ome)

    def _unread(self) -> list[str]:
        """Name what the file holds besides the picture that doesn't go into another file."""
        tags = self.page.tags
        return [
            name
            for name, is_there in (
                ("IPTC", _IPTC in tags),
                ("ImageJ's description", self.page.is_imagej),
                ("OME-XML", self.page.is_ome),
                ("the camera (RPC)", has_camera(tags)),
                ("the mask of pixels with data", any(map(_is_mask, self.tiff.pages))),
            )
            if is_there
        ] + self._geo()[1]

    def _geo(self) -> tuple[GeoTags | None, list[str]]:
        """Return the tags of a GeoTIFF that still hold for the upright picture, and name the others."""
        try:
            found = GeoTags.read({tag: self.page.tags[tag].value for tag in TAGS if tag in self.page.tags})
        except ValueError as error:
            return None, [str(error)]
        if found is None:
            return None, []
        page, kept = self.page, found
        is_same = page.sampleformat == _FLOAT or page.bitspersample in (8, 16)
        if not is_same or page.photometric not in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR):
            kept = found.of_other_numbers()
        if self._orientation() != 1:
            kept = GeoTags()
        return kept, [name for name in found.names() if name not in kept.names()]


def write(path: Path, content: np.ndarray, alpha: bool, icc: bytes | None, metadata: Metadata) -> None:
    """Write grey, RGB, either with alpha, or bands, uint8, uint16 or float32.

    EXIF is written as far as TIFF has tags; XMP and GeoTIFF tags as they are.
    """
    count = content.shape[2] - alpha
    colours = 3 if count == 3 else 1
    extra = ["unassalpha"] if alpha else ["unspecified"] * (count - colours)
    tags = directory_of(metadata.exif)
    tifffile.imwrite(
        path,
        content if content.shape[2] > 1 else content[..., 0],
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="contig" if content.shape[2] > 1 else None,
        extrasamples=extra or None,
        compression="zlib",
        byteorder="<" if not tags or metadata.exif is None else byte_order(metadata.exif),
        metadata=None,
        software=False,
        iccprofile=icc,
        resolution=metadata.resolution,
        resolutionunit=_INCH if metadata.resolution else None,
        extratags=[
            *([(_XMP, _BYTE, len(metadata.xmp), metadata.xmp, True)] if metadata.xmp else []),
            *(metadata.geo.extra_tags() if metadata.geo else []),
        ],
    )
    if tags and metadata.exif and content.nbytes < _LARGEST:
        _add_exif(path, metadata.exif)


def _add_exif(path: Path, exif: bytes) -> None:
    """Add EXIF data to a TIFF file of their byte order, which tifffile can't: with a new directory at its end."""
    order, tags = byte_order(exif), directory_of(exif)
    with path.open("r+b") as file, BytesIO(exif) as given:

        def append(directory: Mapping[int, Entry]) -> bytes:
            """Return the place of a directory at the end of the file, which is even."""
            place = file.seek(0, 2)
            file.write(encode_directory(directory, order, place))
            return struct.pack(order + "I", place)

        file.seek(4)
        entries = read_directory(file, order, struct.unpack(order + "I", file.read(4))[0])
        entries |= {tag: tags[tag] for tag in DESCRIPTIONS if tag in tags and tags[tag].kind == _ASCII}
        file.write(bytes(file.seek(0, 2) % 2))
        for tag in (EXIF_IFD, GPS_IFD):
            try:
                directory = read_directory(given, order, tags[tag].number(order)) if tag in tags else {}
            except struct.error:  # damaged
                continue
            directory.pop(_INTEROPERABILITY, None)
            if directory:
                entries[tag] = Entry(_LONG, 1, append(directory))
        place = append(entries)
        file.seek(4)
        file.write(place)


def _is_picture(page: Any) -> bool:
    """Return whether a page is neither a preview nor a mask."""
    return isinstance(page, TiffPage) and not (page.is_reduced or page.is_mask)


def _is_mask(page: Any) -> bool:
    """Return whether a page is the mask of the picture, and not of a preview."""
    return isinstance(page, TiffPage) and page.is_mask and not page.is_reduced


def _is_for_pillow(page: Any) -> bool:
    """Return whether Pillow has to convert the colours of a page to RGB: CIELAB, and YCbCr that is not from a JPEG."""
    is_ycbcr = page.photometric == PHOTOMETRIC.YCBCR and page.compression not in _JPEG
    return is_ycbcr or page.photometric == PHOTOMETRIC.CIELAB


def _colours_of(page: Any) -> int:
    """Return the number of colour channels of a page, 0 if they have no meaning that is known.

    Three samples, besides alpha, of which a file says no more are RGB: GDAL writes them so, but of 8 bits.
    """
    kinds = [kind in (_ASSOCIATED, _UNASSOCIATED) for kind in page.extrasamples]
    if page.photometric == PHOTOMETRIC.MINISBLACK and page.samplesperpixel - sum(kinds) == 3 and not any(kinds[:2]):
        return 3
    return _COLOURS.get(page.photometric, 0)


def _check(page: Any) -> None:
    """Raise ValueError, with a reason for the user, if the pixels of a page have no meaning that is known."""
    if page.photometric not in _COLOURS:
        name = PHOTOMETRIC(page.photometric).name if page.photometric in set(PHOTOMETRIC) else page.photometric
        raise ValueError(f"its colours are of TIFF's kind {name}, which is not supported; convert it to RGB")
    _check_samples(page, _MAX_CHANNELS)
    if page.sampleformat == _FLOAT and page.photometric not in _FLOATING:
        raise ValueError("floating-point numbers are supported as grey or RGB only; convert it to RGB")
    if _is_for_pillow(page) and (page.bitspersample != 8 or page.samplesperpixel != 3):
        name = PHOTOMETRIC(page.photometric).name
        raise ValueError(f"{name} is supported with three channels of 8 bits only; convert it to RGB")
    ink_set = page.tags[_INK_SET].value if _INK_SET in page.tags else 1
    if page.photometric == PHOTOMETRIC.SEPARATED and ink_set != 1:
        raise ValueError("its inks are other than CMYK; convert it to RGB")
    channels, count = page.samplesperpixel, _colours_of(page)
    if channels < count:
        raise ValueError(f"it has {channels} channels, for {count} colours")
    if count == 1 and channels > 2 and not set(page.extrasamples) & {_ASSOCIATED, _UNASSOCIATED}:
        raise ValueError(
            f"it has {channels} channels whose meaning it doesn't say; convert it to RGB, or use a network of "
            f"channels={channels}"
        )


def _check_samples(page: Any, most: int) -> None:
    """Raise ValueError if the samples of a page have no defined range, are more than `most`, or are not all there."""
    bits, sample_format = page.bitspersample, page.sampleformat
    if not isinstance(bits, int) or not isinstance(sample_format, int):
        raise ValueError("its channels differ in depth; convert it to 8 or 16 bits per channel")
    if sample_format not in (_UNSIGNED, _FLOAT, _UNDEFINED):
        kind = "signed integers" if sample_format == _SIGNED else "complex numbers"
        raise ValueError(f"{kind} have no defined range, convert it to 8 or 16 unsigned bits per channel")
    if bits > 16 and sample_format != _FLOAT:
        raise ValueError(f"{bits} bits per channel have no defined range, convert it to 8 or 16")
    if page.samplesperpixel > most:
        raise ValueError(f"it has {page.samplesperpixel} channels, more than the {most} that are read")
    if page.imagedepth != 1:
        raise ValueError("it is a volume; make a picture of each slice")
    check_pixels(max(page.imagewidth * page.imagelength, page.tilewidth * page.tilelength))
    end = page.parent.filehandle.size
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(parts) < math.prod(page.chunked) or any(not n or start + n > end for start, n in parts):
        raise ValueError("it is cut short: not all of its pixels are in the file")


def _looked_up(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the colours, uint8 (H, W, 3), of indices (H, W, 1) into a palette (3, N) of 16-bit values.

    Some programs write 8-bit values.
    """
    colours = palette if palette.max() < 256 else palette >> 8
    return np.ascontiguousarray(colours.astype(np.uint8).T[indices[..., 0].astype(np.uint16)])


def _image(mode: str, pixels: np.ndarray) -> Image.Image:
    """Return an image of Pillow's of uint8 pixels (H, W, C)."""
    return Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())


def _ratio(value: Any) -> float:
    numerator, denominator = value if isinstance(value, tuple) and len(value) == 2 else (0, 1)
    return numerator / denominator if denominator else 0.0
