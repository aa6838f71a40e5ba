"""Reading and writing of images for upscaling, with their alpha channel, colour profile and metadata.

Pictures are upright in memory and in the output, whose EXIF and XMP orientation says so. 8-bit images are written by
Pillow, 16-bit PNG, AVIF and JPEG XL by imagecodecs, TIFF by tifffile, HEIC by pillow-heif.
"""

import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.depth import to_channels, to_depth, to_srgb
from sr_experiments.data.formats import avif, heif_image, jxl_image, png
from sr_experiments.data.formats.decoded import Decoded
from sr_experiments.data.formats.directory import Entry, byte_order, encode_directory, read_directory
from sr_experiments.data.formats.metadata import (
    DESCRIPTIONS,
    EXIF_IFD,
    GPS_IFD,
    SRGB_CICP,
    Metadata,
    directory_of,
    resolution_of,
    upright_exif,
    upright_xmp,
)
from sr_experiments.data.image_files import all_bands, open_image, unreadable
from sr_experiments.errors import SRError
from sr_experiments.extras import install_extra
from sr_experiments.files import replacing
from sr_experiments.inference.sizes import Enlarger
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
    **dict.fromkeys(heif_image.EXTENSIONS, "HEIC"),
}
# Most bits per channel, where they are more than 8.
DEEPEST = {"PNG": 16, "TIFF": 16, "JXL": 16, "AVIF": 12, "HEIC": 12}
CICP = ("AVIF", "HEIC")  # besides PNG: formats that state colours by the codes of H.273
FORMATS_WITHOUT_ALPHA = ("JPEG", "BMP")

_LONGEST_EXIF, _LONGEST_XMP = 65_527, 65_504  # bytes that fit into a segment of a JPEG
_LARGEST_JFIF_RESOLUTION = 65_535
_LARGEST_TIFF = 2**32 - 2**25  # bytes; tifffile makes larger ones BigTIFF, to which EXIF data are not added
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _INCH = 282, 283, 296, 2
_XMP = 700
_INTEROPERABILITY = 40965  # place of a directory in the file that EXIF data were read from
_UNSPECIFIED = 2  # primaries or transfer of H.273
_BYTE, _ASCII, _LONG = 1, 2, 4  # types of TIFF tags


@dataclass
class Picture:
    """The content of an image file, upright.

    Attributes:
        pixels: uint8 or uint16 (H, W, C), with C = 3 for RGB, 1 for grey, or any number of bands.
        alpha: (H, W, 1) of the same type, or None.
        icc: colour profile of the pixels, or None.
        metadata: what else its file says about it.
        lost: what its file holds besides and is not read, in words.
        bits: per channel in its file, where they are fewer than those of the type.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)
    lost: tuple[str, ...] = ()
    bits: int | None = None


def read_picture(path: Path, channels: int = 3) -> Picture:
    """Read an image: palettes become RGB, black and white becomes grey, CMYK becomes RGB by its colour profile.

    Floating-point numbers become 16 bits; those of EXR, which are linear in light, are encoded as sRGB.

    Args:
        path: of the file.
        channels: of the network: 1 or 3, or the number of bands, which the file must have.

    Raises:
        UnreadableImage: the file is missing, damaged, animated, has several pages, or is of a kind whose range or
            colours are not defined.
    """
    try:
        with open_image(path) as image:
            if channels not in (1, 3):
                return _with_bands(image, channels)
            if image.several:
                raise ValueError(f"it {image.several}; make it a video, or a folder of frames")
            decoded = _with_integers(image.decode())
            return Picture(decoded.pixels, decoded.alpha, decoded.icc, image.metadata(), decoded.lost, decoded.bits)
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error


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


def _with_bands(image: Any, channels: int) -> Picture:
    decoded = _with_integers(all_bands(image))
    pixels = to_channels(decoded.pixels, channels)
    return Picture(pixels, metadata=image.metadata(), lost=decoded.lost, bits=decoded.bits)


def _with_integers(decoded: Decoded) -> Decoded:
    """Convert floating-point numbers to 16 bits, encoded as sRGB if they are linear in light."""
    pixels, alpha = decoded.pixels, decoded.alpha
    if pixels.dtype.kind != "f":
        return decoded
    what = "linear, floating-point numbers" if decoded.linear else "floating-point numbers"
    return decoded._replace(
        pixels=to_depth(to_srgb(pixels) if decoded.linear else pixels, 16),
        alpha=None if alpha is None else to_depth(alpha, 16),
        lost=(*decoded.lost, what),
        linear=False,
    )


def upscale_picture(
    enlarger: Enlarger, picture: Picture, progress: Callable[[int, int], None] | None = None
) -> Picture:
    """Upscale an image by the network, and its alpha bicubically; `progress` as for `ImageEngine.upscale`."""
    alpha = None if picture.alpha is None else enlarger.bicubic(picture.alpha)
    return replace(picture, pixels=enlarger(picture.pixels, progress), alpha=alpha)


def write_picture(path: Path, picture: Picture, quality: int = 95, lossless: bool = False) -> str:
    """Write an image atomically, in the format of its extension.

    `quality`, from 1 to 100, is of JPEG, WebP, HEIC and, which are lossless at 100, of AVIF and JPEG XL. With
    `lossless`, all formats but JPEG hold the pixels exactly, at the depth that they have.

    Returns:
        A description of what the format could not hold; empty if nothing was lost.

    Raises:
        SRError: unknown extension, no space left, or a size that the format does not support.
    """
    image_format = format_of(path, lossless)
    lost: list[str] = []
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.shape[2] not in (1, 3) and image_format != "TIFF":
        raise SRError(
            f"can't write {path}: it has {pixels.shape[2]} bands, which TIFF holds; give it the extension .tif"
        )
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
    kept = _fitting(image_format, picture.icc, _of_size(picture.metadata, width, height), lost)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            if image_format == "PNG":
                temporary.write_bytes(png.with_chunks(_encode_png(content), kept.chunks))
            elif image_format == "TIFF":
                _write_tiff(temporary, content, alpha is not None, picture.icc, kept)
            elif image_format == "AVIF":
                temporary.write_bytes(_encode_avif(content, bits, 100 if lossless else quality, picture.icc, kept))
            elif image_format == "JXL":
                temporary.write_bytes(_encode_jxl(content, 100 if lossless else quality, kept))
            elif image_format == "HEIC":
                _write_heic(temporary, content, bits, None if lossless else quality, picture.icc, kept)
            else:
                options = _pillow_options(image_format, picture.icc, kept, quality)
                if image_format == "WEBP" and lossless:
                    options |= {"lossless": True, "exact": True}  # also of what is transparent
                _image(content).save(temporary, image_format, **options)
    except (ValueError, OSError, struct.error) as error:
        raise SRError(f"can't write {path}, {width}x{height}: {' '.join(str(error).split())}") from error
    return in_words(lost)


def format_of(path: Path, lossless: bool = False) -> str:
    """Return Pillow's name of the format of a file's extension.

    Raises:
        SRError: it is unknown, or can't be `lossless`.
    """
    if path.suffix.lower() not in FORMATS:
        raise SRError(f"can't write {path}: choose an extension of {' '.join(FORMATS)}")
    if FORMATS[path.suffix.lower()] == "HEIC" and not heif_image.is_installed():
        raise SRError(f"can't write {path}: HEIC needs pillow-heif: {install_extra('heic')}, or choose .avif")
    if lossless and FORMATS[path.suffix.lower()] == "JPEG":
        raise SRError(f"can't write {path}: JPEG has no --lossless, choose .png, .webp or .avif, or --quality 100")
    return FORMATS[path.suffix.lower()]


def in_words(things: list[str]) -> str:
    """Join a list as in a sentence: a, b and c."""
    return " and ".join(filter(None, (", ".join(things[:-1]), *things[-1:])))


def _of_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """Return the metadata of an upright picture of another size."""
    return replace(
        metadata,
        exif=upright_exif(metadata.exif, width, height) if metadata.exif else None,
        xmp=upright_xmp(metadata.xmp, width, height) if metadata.xmp else None,
    )


def _fitting(image_format: str, icc: bytes | None, metadata: Metadata, lost: list[str]) -> Metadata:
    """Return the metadata that fit into a format, for PNG as chunks, and append the names of the others to `lost`."""
    if image_format == "PNG":
        if metadata.iptc:
            lost.append("IPTC")
        return Metadata(chunks=_png_chunks(icc, metadata))
    if image_format in ("BMP", "JXL") and icc:
        lost.append("the colour profile")
    if (colours := metadata.colours(icc is not None)) and (image_format not in CICP or not metadata.of_kind("cICP")):
        lost.append(colours)
    only_exif = image_format in ("WEBP", "AVIF", "HEIC", "JXL")  # they have no other place for a resolution
    exif, xmp, resolution = metadata.exif, metadata.xmp, metadata.resolution
    if only_exif and resolution:
        exif = exif or _exif_of_resolution(resolution)
        resolution = None if resolution_of(exif) else resolution
    dropped = {
        "EXIF": exif and (image_format == "BMP" or (image_format == "JPEG" and len(exif) > _LONGEST_EXIF)),
        "XMP": xmp and (image_format == "BMP" or (image_format == "JPEG" and len(xmp) > _LONGEST_XMP)),
        "IPTC": metadata.iptc and image_format != "JPEG",
        "the comment": metadata.comment and image_format != "JPEG",
        "text": metadata.of_kind(*png.TEXTS),
        "the resolution": resolution
        and (only_exif or (image_format == "JPEG" and max(resolution) > _LARGEST_JFIF_RESOLUTION)),
    }
    lost += [name for name, is_lost in dropped.items() if is_lost]
    return Metadata(
        exif=None if dropped["EXIF"] else exif,
        xmp=None if dropped["XMP"] else xmp,
        iptc=metadata.iptc,
        comment=metadata.comment,
        resolution=None if dropped["the resolution"] else resolution,
        chunks=metadata.of_kind("cICP") if image_format in CICP else (),
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


def _image(content: np.ndarray) -> Image.Image:
    """Return an image of Pillow's of uint8 pixels (H, W, C), C from 1 to 4."""
    return Image.fromarray(content[..., 0] if content.shape[2] == 1 else content)


def _pillow_options(image_format: str, icc: bytes | None, metadata: Metadata, quality: int) -> dict[str, Any]:
    """Return the options that Pillow's encoder of a format takes."""
    options: dict[str, Any] = {}
    if metadata.resolution:
        options["dpi"] = metadata.resolution
    if image_format == "BMP":
        return options
    options |= {"quality": quality, "icc_profile": icc}
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    if image_format == "JPEG":
        if quality >= 90:
            options["subsampling"] = 0  # 4:4:4: at high quality, subsampled chroma would be the largest error
        if metadata.comment:
            options["comment"] = metadata.comment
        if metadata.iptc:
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(metadata.iptc) + 2) + metadata.iptc
    return options


def _encode_png(content: np.ndarray) -> bytes:
    """Encode 1 to 4 channels, uint8 or uint16."""
    if content.dtype == np.uint8:
        buffer = BytesIO()
        _image(content).save(buffer, "PNG", compress_level=3)  # a tenth larger than by default, in a third of the time
        return buffer.getvalue()
    import imagecodecs  # here, since most images don't need it

    fast = {"level": 1, "strategy": imagecodecs.PNG.STRATEGY.RLE, "filter": imagecodecs.PNG.FILTER.SUB}
    content = np.ascontiguousarray(content[..., 0] if content.shape[2] == 1 else content)
    return bytes(imagecodecs.png_encode(content, **fast))


def _levels(content: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """Scale uint16 from 0 to 65535 to 0 to the maximum of the depth, rounded; uint8 is returned as it is.

    Returns:
        The levels, and the depth: the first of 8, 10 and 12 bits that holds `bits`.
    """
    depth = next(depth for depth in (8, 10, 12) if bits <= depth)
    if content.dtype == np.uint8:
        return content, depth
    return ((content.astype(np.uint32) * (2**depth - 1) + 32767) // 65535).astype(np.uint16), depth


def _colour_codes(icc: bytes | None, metadata: Metadata) -> tuple[int, int]:
    """Return the primaries and the transfer characteristics, as of H.273, of a picture with this profile."""
    chunks = dict(metadata.of_kind("cICP"))
    if icc and not chunks:
        return _UNSPECIFIED, _UNSPECIFIED
    return chunks.get("cICP", SRGB_CICP)[0], chunks.get("cICP", SRGB_CICP)[1]


def _encode_avif(content: np.ndarray, bits: int, quality: int, icc: bytes | None, metadata: Metadata) -> bytes:
    """Encode 1 to 4 channels in 8, 10 or 12 bits; with a colour profile, or the colours of cICP, else as sRGB."""
    import imagecodecs  # here, since most images don't need it

    levels, bits = _levels(content, bits)
    levels = np.ascontiguousarray(levels)
    file = imagecodecs.avif_encode(
        levels[..., 0] if levels.shape[2] == 1 else levels,
        level=quality,
        bitspersample=bits,
        pixelformat="400" if levels.shape[2] < 3 else "444" if quality >= 90 else "420",
        numthreads=os.cpu_count(),
    )
    return avif.with_metadata(bytes(file), _colour_codes(icc, metadata), icc, metadata.exif, metadata.xmp)


def _encode_jxl(content: np.ndarray, quality: int, metadata: Metadata) -> bytes:
    """Encode 1 to 4 channels, uint8 or uint16, as sRGB; uint16 without loss, whatever the quality."""
    import imagecodecs  # here, since most images don't need it

    distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
    pixels = np.ascontiguousarray(content[..., 0] if content.shape[2] == 1 else content)
    lossless = quality == 100 or content.dtype == np.uint16
    way = {"lossless": True} if lossless else {"distance": distance}  # as libjxl's own programs do
    file = bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=True, numthreads=os.cpu_count(), **way))
    if content.dtype == np.uint16:
        file = jxl_image.marked_as_srgb(file)
    return jxl_image.with_metadata(file, metadata.exif, metadata.xmp)


def _write_heic(
    path: Path, content: np.ndarray, bits: int, quality: int | None, icc: bytes | None, metadata: Metadata
) -> None:
    """Write 1 to 4 channels in 8, 10 or 12 bits; without a quality lossless, which takes RGB in the place of YUV."""
    import pillow_heif  # here, since most images don't need it

    (levels, bits), deep = _levels(content, bits), content.dtype == np.uint16
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[content.shape[2]] + (";16" if deep else "")
    levels = np.ascontiguousarray(levels << (16 - bits) if deep else levels)
    image = pillow_heif.from_bytes(mode, (content.shape[1], content.shape[0]), levels.tobytes())
    primaries, transfer = _colour_codes(icc, metadata)
    options: dict[str, Any] = {"color_primaries": primaries, "transfer_characteristics": transfer}
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    if icc:
        options |= {"icc_profile": icc, "icc_profile_type": "prof"}
    if quality is None:
        options |= {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    else:
        options |= {"quality": quality, "chroma": 444 if quality >= 90 else 420}
    with path.open("wb") as file:
        image.save(file, bit_depth=bits, **options)


def _write_tiff(path: Path, content: np.ndarray, alpha: bool, icc: bytes | None, metadata: Metadata) -> None:
    """Write grey, RGB, either with alpha, or bands, uint8 or uint16; with EXIF, as far as TIFF has tags, and XMP."""
    import tifffile  # here, since importing it takes time

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
        extratags=[(_XMP, _BYTE, len(metadata.xmp), metadata.xmp, True)] if metadata.xmp else [],
    )
    if tags and metadata.exif and content.nbytes < _LARGEST_TIFF:
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
