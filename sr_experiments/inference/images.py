"""Images to be upscaled: read with everything that belongs to them, written as whole files.

8-bit images of all formats go through Pillow. Of 16-bit ones it knows grey only, so these go through OpenCV, and
16-bit TIFF is written by tifffile. Pixels stay as they are stored: the EXIF orientation goes with them into the
output, which is shown as the input is. Only those of a TIFF are turned, since both libraries do so as they read.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from sr_experiments.data.image_files import open_image, unreadable
from sr_experiments.errors import SRError
from sr_experiments.files import replacing
from sr_experiments.inference.engine import Engine

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
DEEP = ("PNG", "TIFF")  # can hold 16 bits a channel
OPAQUE = ("JPEG", "BMP")  # can't hold alpha

_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258
# Of a TIFF's tags, those that say something about the picture rather than about the file.
_TIFF_TAGS = (270, 271, 272, 306, 315, 33432)


@dataclass
class Picture:
    """An image file's content.

    Attributes:
        pixels: uint8 or uint16 (H, W, C), C of 3 for RGB or 1 for grey.
        alpha: of the same type, (H, W, 1); or None.
        exif: as bytes, with the orientation; or None.
        icc: colour profile of the pixels; or None.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes | None = None
    icc: bytes | None = None


def read_picture(path: Path) -> Picture:
    """Read an image: palettes become RGB, black and white becomes grey, CMYK becomes RGB by its colour profile.

    Raises:
        UnreadableImage: missing, damaged, animated, or of 32 bits a channel, which have no defined range.
    """
    try:
        with open_image(path) as file:
            if getattr(file, "n_frames", 1) > 1:
                raise ValueError(f"it has {file.n_frames} pictures; make it a video, or a folder of frames")
            deep = _bits(file, path) == 16
            if not deep:
                file.load()
            exif, icc = _exif(file), file.info.get("icc_profile") or None
            if not deep:
                upright = ImageOps.exif_transpose(file) if file.format == "TIFF" else file
                pixels, alpha, icc = _pillow_pixels(upright, icc)
        if deep:
            pixels, alpha = _deep_pixels(path)
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error
    return Picture(pixels, alpha, exif, icc)


def upscale_picture(engine: Engine, picture: Picture, progress: Callable[[int, int], None] | None = None) -> Picture:
    """The picture at `scale` times its size; alpha is enlarged bicubically.

    Args:
        engine: the network.
        picture: the LR image.
        progress: called with the tiles done and all tiles.
    """
    alpha = None if picture.alpha is None else engine.bicubic(picture.alpha)
    return Picture(engine.upscale(picture.pixels, progress), alpha, picture.exif, picture.icc)


def write_picture(path: Path, picture: Picture, quality: int = 95) -> str:
    """Write an image whole or not at all, in the format of its extension.

    Args:
        path: where to; its folder is made.
        picture: what to write.
        quality: of JPEG and WebP, 1 to 100.

    Returns:
        What the format couldn't hold, in words; empty if it holds everything.

    Raises:
        SRError: unknown extension, no space left, or a size that the format can't have.
    """
    kind = format_of(path)
    lost = []
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype == np.uint16 and kind not in DEEP:
        pixels, alpha = _to_8_bits(pixels), None if alpha is None else _to_8_bits(alpha)
        lost.append("16 bits a channel")
    if alpha is not None and kind in OPAQUE:
        alpha = None
        lost.append("transparency")
    content = pixels if alpha is None else np.concatenate((pixels, alpha), 2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            if content.dtype == np.uint8:
                _write_pillow(temporary, content, kind, picture, quality)
            elif kind == "PNG":
                temporary.write_bytes(_deep_png(content, picture))
            else:
                _write_deep_tiff(temporary, content, picture)
    except (ValueError, OSError, struct.error, cv2.error) as error:
        height, width = content.shape[:2]
        raise SRError(f"can't write {path}, {width}x{height}: {' '.join(str(error).split())}") from error
    return " and ".join(lost)


def format_of(path: Path) -> str:
    """The format of an image file's extension.

    Raises:
        SRError: an unknown one.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise SRError(f"can't write {path}: choose an extension of {' '.join(FORMATS)}")
    return kind


# -- reading -----------------------------------------------------------------------------------------------


def _bits(file: Image.Image, path: Path) -> int:
    """Bits of a channel, as stored."""
    if file.format == "PNG":
        with path.open("rb") as raw:
            return raw.read(25)[24]
    if isinstance(file, TiffImageFile):
        bits = max(file.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
        if bits > 16:
            raise ValueError("32 bits a channel have no defined range, convert it to 8 or 16")
        return bits
    return 8


def _exif(file: Image.Image) -> bytes | None:
    if file.format != "TIFF":
        return file.info.get("exif") or None
    tags, kept = file.getexif(), Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in tags:
            kept[tag] = tags[tag]
    return kept.tobytes() if len(kept) else None


def _pillow_pixels(file: Image.Image, icc: bytes | None) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """Pixels (H, W, C), alpha (H, W, 1) or None, and the colour profile that now holds."""
    if file.mode == "CMYK":
        if icc:
            try:
                rgb = ImageCms.profileToProfile(
                    file, ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                return np.array(rgb), None, None
            except ImageCms.PyCMSError:  # a broken profile
                pass
        return np.array(file.convert("RGB")), None, None
    grey = file.mode in ("1", "L", "LA", "La")
    transparent = file.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in file.info
    pixels = np.array(file.convert(("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if not transparent:
        return pixels, None, icc
    return np.ascontiguousarray(pixels[..., :-1]), np.ascontiguousarray(pixels[..., -1:]), icc


def _deep_pixels(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    content = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError("damaged") from error
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("damaged, or of a kind that OpenCV can't read")
    if pixels.ndim == 2:
        return pixels[..., None], None
    colours = np.ascontiguousarray(pixels[..., 2::-1])
    if np.array_equal(colours[..., 0], colours[..., 1]) and np.array_equal(colours[..., 0], colours[..., 2]):
        colours = np.ascontiguousarray(colours[..., :1])  # of grey with alpha, OpenCV makes four channels
    return colours, np.ascontiguousarray(pixels[..., 3:]) if pixels.shape[2] == 4 else None


# -- writing -----------------------------------------------------------------------------------------------


def _write_pillow(path: Path, content: np.ndarray, kind: str, picture: Picture, quality: int) -> None:
    image = Image.fromarray(content[..., 0] if content.shape[2] == 1 else content)
    options: dict = {"exif": picture.exif} if picture.exif and kind != "BMP" else {}
    if picture.icc and kind != "BMP":
        options["icc_profile"] = picture.icc
    if kind in ("JPEG", "WEBP"):
        options["quality"] = quality
    if kind == "JPEG" and quality >= 90:
        options["subsampling"] = 0
    if kind == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    if kind == "PNG":
        options["compress_level"] = 3  # a tenth larger than the default's, in a third of its time
    image.save(path, kind, **options)


def _deep_png(content: np.ndarray, picture: Picture) -> bytes:
    if content.shape[2] == 2:  # OpenCV can't write grey with alpha
        content = content[..., (0, 0, 0, 1)]
    bgr = content[..., (2, 1, 0, 3)[: content.shape[2]]] if content.shape[2] > 1 else content
    kinds, values = [], []
    if picture.exif:
        kinds.append(cv2.IMAGE_METADATA_EXIF)
        values.append(np.frombuffer(picture.exif.removeprefix(b"Exif\0\0"), np.uint8))
    if picture.icc:
        kinds.append(cv2.IMAGE_METADATA_ICCP)
        values.append(np.frombuffer(picture.icc, np.uint8))
    done, buffer = cv2.imencodeWithMetadata(".png", np.ascontiguousarray(bgr), kinds, values)
    if not done:
        raise ValueError("OpenCV can't encode it")
    return buffer.tobytes()


def _write_deep_tiff(path: Path, content: np.ndarray, picture: Picture) -> None:
    exif = Image.Exif()
    if picture.exif:
        exif.load(picture.exif)
    colours, transparent = (1, content.shape[2] == 2) if content.shape[2] < 3 else (3, content.shape[2] == 4)
    tifffile.imwrite(
        path,
        content if content.shape[2] > 1 else content[..., 0],
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="contig" if content.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if transparent else None,
        compression="zlib",
        metadata=None,
        iccprofile=picture.icc,
        extratags=[(_ORIENTATION, 3, 1, exif.get(_ORIENTATION, 1), True)],
    )


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
