"""Reading and writing of images for upscaling, with their alpha channel, colour profile and metadata.

Pictures are upright in memory and in the output, whose EXIF and XMP orientation says so. Files are read and written by
the modules of `data.formats`.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sr_experiments.data.depth import Bits, beyond_range, from_srgb, in_range, to_depth, to_srgb
from sr_experiments.data.formats import avif, exr_image, heif_image, jxl_image, pillow_image, png
from sr_experiments.data.formats.fitting import fitting, of_size
from sr_experiments.data.formats.metadata import Metadata
from sr_experiments.data.image_files import IF_RGB, UnreadableImage, all_bands, open_image, unreadable
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing
from sr_experiments.inference.sizes import Enlarger
from sr_experiments.packages.extras import install_extra
from sr_experiments.video.tonemap import HLG, HLG_PEAK, PQ, USUAL_PEAK, ToneMap

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".jfi": "JPEG",
    ".jif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".jxl": "JXL",
    ".exr": "EXR",
    **dict.fromkeys(heif_image.EXTENSIONS, "HEIC"),
}
# Most bits per channel, where they are more than 8.
DEEPEST = {"PNG": 16, "TIFF": 16, "EXR": 32, "JXL": 16, "AVIF": 12, "HEIC": 12}
FORMATS_WITHOUT_ALPHA = ("JPEG", "BMP")
OF_FLOATS = ("TIFF", "EXR")  # also those that hold any number of bands

Transfer = Literal["sRGB", "linear", ""]


@dataclass
class Picture:
    """The content of an image file, upright.

    Attributes:
        pixels: uint8, uint16 or float32 (H, W, C), with C = 3 for RGB, 1 for grey, or any number of bands.
        alpha: (H, W, 1) of the same type, or None.
        icc: colour profile of the pixels, or None.
        metadata: what else its file says about it.
        lost: what its file holds besides and is not read, in words.
        bits: per channel in its file, where they are fewer than those of the type.
        empty: (H, W, C), which of the numbers stand for no data in a GeoTIFF; None if it doesn't say.
        transfer: what the numbers of pixels mean: encoded for a screen, linear in light, or what the user of
            floating-point TIFF and of bands knows, who reads them as they are.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)
    lost: tuple[str, ...] = ()
    bits: int | None = None
    transfer: Transfer = "sRGB"
    empty: np.ndarray | None = None


def read_picture(path: Path, channels: int = 3, bits: Bits = 8, floats: bool = False, clip: bool = False) -> Picture:
    """Read an image: palettes become RGB, black and white becomes grey, CMYK becomes RGB by its colour profile.

    Floating-point pixels of a GeoTIFF without data become black where their value is not from 0 to 1.

    Args:
        path: of the file.
        channels: of the network: 1 or 3, or the number of bands, which the file must have.
        bits: that the network was trained with, see `for_network`.
        floats: see `for_network`.
        clip: floating-point numbers beyond 0 and 1, instead of refusing them.

    Raises:
        UnreadableImage: the file is missing, damaged, animated, has several pages, or is of a kind whose range or
            colours are not defined.
    """
    try:
        with open_image(path) as image:
            if channels in (1, 3):
                _check_bands(path, image, channels)
            decoded = image.decode() if channels in (1, 3) else all_bands(image)
            metadata, pixels = image.metadata(), decoded.pixels
            empty = metadata.geo.empty(pixels) if metadata.geo else None
            if empty is not None and pixels.dtype.kind == "f":
                pixels = np.where(empty & beyond_range(pixels), np.float32(0), pixels)
            pixels = in_range(pixels, clip)
            if channels not in (1, 3, own := pixels.shape[2]):
                raise _other_bands(path, f"{own} band{'s' if own > 1 else ''}", own, channels)
            as_they_are = channels not in (1, 3) or pixels.dtype.kind == "f"
            transfer: Transfer = "linear" if decoded.linear else "" if as_they_are else "sRGB"
            icc = decoded.icc if channels in (1, 3) else None  # it is of colours
            picture = Picture(pixels, decoded.alpha, icc, metadata, decoded.lost, decoded.bits, transfer, empty)
            return for_network(picture, bits, floats)
    except UnreadableImage:
        raise
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error


def _check_bands(path: Path, image: Any, channels: int) -> None:
    """Check that an open image is one picture, grey or RGB."""
    bands = getattr(image, "bands", None) or 0
    if bands > 2 and bands != channels:  # the second of two is left out, with a message
        raise _other_bands(path, f"{bands} bands", bands, channels)
    if pages := getattr(image, "pages_of_bands", 0):
        raise _other_bands(path, f"{pages} pages", pages, channels)
    if image.several:
        raise ValueError(f"it {image.several}; make it a video, or a folder of frames")


def _other_bands(path: Path, has: str, own: int, channels: int) -> UnreadableImage:
    """Return the error that an image has other bands than the network takes."""
    given = {1: "convert the image to grey", 3: "convert the image to RGB"}.get(channels, f"give images of {channels}")
    bands = "if they are bands, " if has.endswith("pages") else ""
    if bands:
        given = "split the pages into files"
    if bands and own == 3:
        return UnreadableImage(
            f"{path} has {has}, and the network takes {'RGB' if channels == 3 else 'grey'}: {IF_RGB}, or {given}"
        )
    return UnreadableImage(
        f"{path} has {has}, and the network takes {channels}: {bands}use one of channels={own}, or {given}"
    )


def for_network(picture: Picture, bits: Bits, floats: bool = False) -> Picture:
    """Return a picture as a network takes it, which was trained with these `bits`.

    One that was trained on floating-point numbers takes them as they are. For others they become 16 bits, and those
    that are linear in light are encoded as sRGB. With `floats`, nothing is rounded.
    """
    if picture.pixels.dtype.kind != "f":
        return _in_depth(picture, "float") if floats else picture
    if bits == "float":
        return picture
    lost = "floating-point numbers"
    if picture.transfer == "linear":
        lost = f"linear, {lost}"
        picture = replace(picture, pixels=to_srgb(picture.pixels), transfer="sRGB")
    elif picture.pixels.shape[2] in (1, 3):
        picture = replace(picture, transfer="sRGB")
    if floats:
        return picture
    metadata, also = picture.metadata, list[str]()
    if geo := metadata.geo:  # GDAL's tags are about the numbers as they were
        kept = geo.of_other_numbers()
        metadata, also = replace(metadata, geo=kept), [name for name in geo.names() if name not in kept.names()]
    return _in_depth(replace(picture, metadata=metadata, lost=(*picture.lost, lost, *also)), 16)


def to_sdr(picture: Picture) -> Picture:
    """Return a picture of PQ or HLG, as its cICP says, as one of sRGB; others are returned as they are."""
    chunks = dict(picture.metadata.chunks)
    codes = chunks.get("cICP", b"\0\0")
    if codes[1] not in (PQ, HLG):
        return picture
    mapped = ToneMap(codes[1], codes[0], _peak(chunks) if codes[1] == PQ else HLG_PEAK, srgb=True)
    colour = picture.pixels if picture.pixels.shape[2] == 3 else picture.pixels.repeat(3, 2)
    kept = tuple(chunk for chunk in picture.metadata.chunks if chunk[0] not in png.COLOURS)
    return replace(
        picture,
        pixels=np.ascontiguousarray(mapped(colour)[..., : picture.pixels.shape[2]]),
        icc=None,
        metadata=replace(picture.metadata, chunks=kept),
    )


def _peak(chunks: Mapping[str, bytes]) -> float:
    """Return the brightest light that a PNG states, in cd/m^2: of its display and of its content."""
    steps = [chunks["mDCV"][16:20]] if len(chunks.get("mDCV", b"")) == 24 else []
    steps += [chunks["cLLI"][:4]] if len(chunks.get("cLLI", b"")) == 8 else []
    return min((value / 10_000 for step in steps if (value := int.from_bytes(step, "big"))), default=USUAL_PEAK)


def _in_depth(picture: Picture, bits: Bits) -> Picture:
    alpha = None if picture.alpha is None else to_depth(picture.alpha, bits)
    return replace(picture, pixels=to_depth(picture.pixels, bits), alpha=alpha, bits=None)


def upscale_picture(
    enlarger: Enlarger, picture: Picture, progress: Callable[[int, int], None] | None = None
) -> Picture:
    """Upscale an image by the network, and its alpha bicubically; `progress` as for `ImageEngine.upscale`."""
    alpha = None if picture.alpha is None else in_range(enlarger.bicubic(picture.alpha), clip=True)
    pixels, metadata, empty = enlarger(picture.pixels, progress), picture.metadata, picture.empty
    down, across = enlarger.axes(*picture.pixels.shape[:2])
    if empty is not None:
        rows, columns = (axis.sources(empty.shape[i], pixels.shape[i]) for i, axis in enumerate((down, across)))
        empty = empty[rows[:, None], columns]
    if metadata.geo:
        metadata = replace(metadata, geo=metadata.geo.enlarged(down, across))
    if metadata.exr:
        metadata = replace(metadata, exr=metadata.exr.enlarged(down, across))
    return replace(picture, pixels=pixels, alpha=alpha, metadata=metadata, empty=empty)


def write_picture(path: Path, picture: Picture, quality: int = 95, lossless: bool = False) -> str:
    """Write an image atomically, in the format of its extension.

    `quality`, from 1 to 100, is of JPEG, WebP, HEIC and, which are lossless at 100, of AVIF and JPEG XL. With
    `lossless`, all formats but JPEG hold the pixels exactly, at the depth that they have. In EXR, numbers are linear in
    light, and floating-point ones. In TIFF, pixels without data have the value that its tags give them.

    Returns:
        A description of what the format could not hold; empty if nothing was lost.

    Raises:
        SRError: unknown extension, no space left, or a size that the format does not support.
    """
    image_format = format_of(path, lossless)
    lost: list[str] = []
    if picture.pixels.shape[2] not in (1, 3):
        check_holds_bands(path, picture.pixels.shape[2])
    if image_format == "EXR":
        picture = _in_depth(picture, "float")
        if picture.transfer == "sRGB":
            picture = replace(picture, pixels=from_srgb(picture.pixels), transfer="linear")
    elif image_format != "TIFF" and picture.pixels.dtype.kind == "f":
        is_linear = picture.transfer == "linear"
        lost.append("linear, floating-point numbers" if is_linear else "floating-point numbers")
        encoded = to_srgb(picture.pixels.clip(0, 1)) if is_linear else picture.pixels
        picture = _in_depth(replace(picture, pixels=encoded), 16)
    pixels, alpha = picture.pixels, picture.alpha
    if image_format == "TIFF" and picture.metadata.geo and picture.empty is not None:
        pixels = picture.metadata.geo.without_data(pixels, picture.empty)
    bits = 8 if pixels.dtype == np.uint8 else picture.bits or 16
    if bits > 8 and image_format not in DEEPEST:
        pixels, alpha = to_depth(pixels, 8), None if alpha is None else to_depth(alpha, 8)
        lost.append(f"{bits} bits per channel")
    elif bits > DEEPEST.get(image_format, 8):
        bits = DEEPEST[image_format]
        lost.append(f"more than {bits} bits per channel")
    if alpha is not None and image_format in FORMATS_WITHOUT_ALPHA:
        alpha = None
        lost.append("transparency")
    content = pixels if alpha is None else np.concatenate((pixels, alpha), 2)
    height, width = content.shape[:2]
    kept = fitting(image_format, picture.icc, of_size(picture.metadata, width, height), lost)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            if image_format == "PNG":
                temporary.write_bytes(png.with_chunks(pillow_image.encode_png(content), kept.chunks))
            elif image_format == "TIFF":
                from sr_experiments.data.formats import tiff_image  # here, since importing tifffile takes time

                tiff_image.write(temporary, content, alpha is not None, picture.icc, kept)
            elif image_format == "EXR":
                exr_image.write(temporary, pixels, alpha, kept.exr)
            elif image_format == "AVIF":
                temporary.write_bytes(avif.encode(content, bits, 100 if lossless else quality, picture.icc, kept))
            elif image_format == "JXL":
                temporary.write_bytes(jxl_image.encode(content, 100 if lossless else quality, kept))
            elif image_format == "HEIC":
                heif_image.write(temporary, content, bits, None if lossless else quality, picture.icc, kept)
            else:
                options = pillow_image.save_options(image_format, picture.icc, kept, quality)
                if image_format == "WEBP" and lossless:
                    options |= {"lossless": True, "exact": True}  # also of what is transparent
                pillow_image.to_image(content).save(temporary, image_format, **options)
    except (ValueError, OSError, RuntimeError, struct.error) as error:
        raise SRError(f"can't write {path}, {width}x{height}: {' '.join(str(error).split())}") from error
    return in_words(lost)


def check_holds_bands(path: Path, bands: int) -> None:
    """Check that the format of a file's extension holds images of bands.

    Raises:
        SRError: it doesn't.
    """
    if format_of(path) not in OF_FLOATS:
        raise SRError(
            f"can't write {path}: it has {bands} bands, which only TIFF and EXR hold: give it the extension .tif, or a "
            "folder --format tif"
        )


def format_of(path: Path, lossless: bool = False) -> str:
    """Return Pillow's name of the format of a file's extension.

    Raises:
        SRError: it is unknown, or can't be `lossless`.
    """
    if path.suffix.lower() not in FORMATS:
        raise SRError(f"can't write {path}: choose an extension of {' '.join(FORMATS)}")
    if FORMATS[path.suffix.lower()] == "HEIC" and not heif_image.is_installed():
        raise SRError(f"can't write {path}: HEIC needs pillow-heif: {install_extra('heic')}, or choose .avif")
    if FORMATS[path.suffix.lower()] == "EXR" and not exr_image.is_installed():
        raise SRError(f"can't write {path}: EXR needs OpenEXR: {install_extra('exr')}, or choose .tif")
    if lossless and FORMATS[path.suffix.lower()] == "JPEG":
        raise SRError(f"can't write {path}: JPEG has no --lossless, choose .png, .webp or .avif, or --quality 100")
    return FORMATS[path.suffix.lower()]


def in_words(things: list[str]) -> str:
    """Join a list as in a sentence: a, b and c."""
    return " and ".join(filter(None, (", ".join(things[:-1]), *things[-1:])))
