"""Reading and writing of images for upscaling, with their alpha channel, EXIF data and colour profile.

8-bit images of all formats are handled by Pillow. Pillow supports only grey in 16 bits, so 16-bit images are read and
written by OpenCV, and 16-bit TIFF is written by tifffile. Pixels stay as stored, and the EXIF orientation is copied to
the output, which is therefore displayed like the input. Only TIFF is rotated, since both libraries do so on reading.
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

from sr_experiments.data.image_files import open_image, to_8_bits, unreadable
from sr_experiments.errors import SRError
from sr_experiments.files import replacing
from sr_experiments.inference.engine import Engine

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
}
FORMATS_16_BIT = ("PNG", "TIFF")
FORMATS_WITHOUT_ALPHA = ("JPEG", "BMP")

_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258
# TIFF tags that describe the image rather than the file: description, make, model, date, artist, copyright.
_TIFF_TAGS = (270, 271, 272, 306, 315, 33432)


@dataclass
class Picture:
    """The content of an image file.

    Attributes:
        pixels: uint8 or uint16 (H, W, C), with C = 3 for RGB or 1 for grey.
        alpha: (H, W, 1) of the same type, or None.
        exif: EXIF data with the orientation, or None.
        icc: colour profile of the pixels, or None.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes | None = None
    icc: bytes | None = None


def read_picture(path: Path) -> Picture:
    """Read an image: palettes become RGB, black and white becomes grey, CMYK becomes RGB by its colour profile.

    Raises:
        UnreadableImage: the file is missing, damaged or animated, or has 32 bits per channel, which have no defined
            range.
    """
    try:
        with open_image(path) as file:
            if getattr(file, "n_frames", 1) > 1:
                raise ValueError(f"it has {file.n_frames} pictures; make it a video, or a folder of frames")
            is_16_bit = _bits(file, path) == 16
            if not is_16_bit:
                file.load()  # metadata of a PNG can follow its pixels
            exif, icc = _exif(file), file.info.get("icc_profile") or None
            if is_16_bit:
                pixels, alpha = _read_16_bits(path)
            else:
                upright = ImageOps.exif_transpose(file) if file.format == "TIFF" else file
                pixels, alpha, icc = _read_8_bits(upright, icc)
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error
    return Picture(pixels, alpha, exif, icc)


def upscale_picture(engine: Engine, picture: Picture, progress: Callable[[int, int], None] | None = None) -> Picture:
    """Upscale an image by the network, and its alpha bicubically; `progress` as for `Engine.upscale`."""
    alpha = None if picture.alpha is None else engine.bicubic(picture.alpha)
    return Picture(engine.upscale(picture.pixels, progress), alpha, picture.exif, picture.icc)


def write_picture(path: Path, picture: Picture, quality: int = 95) -> str:
    """Write an image atomically, in the format of its extension; `quality`, from 1 to 100, is of JPEG and WebP.

    Returns:
        A description of what the format could not hold; empty if nothing was lost.

    Raises:
        SRError: unknown extension, no space left, or a size that the format does not support.
    """
    image_format = format_of(path)
    lost = []
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype == np.uint16 and image_format not in FORMATS_16_BIT:
        pixels, alpha = to_8_bits(pixels), None if alpha is None else to_8_bits(alpha)
        lost.append("16 bits per channel")
    if alpha is not None and image_format in FORMATS_WITHOUT_ALPHA:
        alpha = None
        lost.append("transparency")
    content = pixels if alpha is None else np.concatenate((pixels, alpha), 2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            if content.dtype == np.uint8:
                _write_8_bits(temporary, content, image_format, picture, quality)
            elif image_format == "PNG":
                temporary.write_bytes(_encode_16_bit_png(content, picture))
            else:
                _write_16_bit_tiff(temporary, content, picture)
    except (ValueError, OSError, struct.error, cv2.error) as error:
        height, width = content.shape[:2]
        raise SRError(f"can't write {path}, {width}x{height}: {' '.join(str(error).split())}") from error
    return " and ".join(lost)


def format_of(path: Path) -> str:
    """Return Pillow's name of the format of a file's extension; an unknown one is an SRError."""
    if path.suffix.lower() not in FORMATS:
        raise SRError(f"can't write {path}: choose an extension of {' '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def _bits(file: Image.Image, path: Path) -> int:
    """Return the stored bits per channel."""
    if file.format == "PNG":
        with path.open("rb") as raw:  # Pillow does not expose it: the byte after width and height in the header
            return raw.read(25)[24]
    if isinstance(file, TiffImageFile):
        bits = max(file.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
        if bits > 16:
            raise ValueError("32 bits per channel have no defined range, convert it to 8 or 16")
        return bits
    return 8


def _exif(file: Image.Image) -> bytes | None:
    if file.format != "TIFF":
        return file.info.get("exif") or None
    tags, kept = file.getexif(), Image.Exif()
    kept.update((tag, tags[tag]) for tag in _TIFF_TAGS if tag in tags)
    return kept.tobytes() if len(kept) else None


def _read_8_bits(file: Image.Image, icc: bytes | None) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """Read pixels (H, W, C) and alpha (H, W, 1) or None with Pillow; also return their colour profile."""
    if file.mode == "CMYK":
        if icc:
            try:
                rgb = ImageCms.profileToProfile(
                    file, ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                return np.array(rgb), None, None
            except ImageCms.PyCMSError:  # an invalid profile
                pass
        return np.array(file.convert("RGB")), None, None
    transparent = file.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in file.info
    mode = ("L" if file.mode in ("1", "L", "LA", "La") else "RGB") + ("A" if transparent else "")
    pixels = np.atleast_3d(np.array(file.convert(mode)))
    if not transparent:
        return pixels, None, icc
    return np.ascontiguousarray(pixels[..., :-1]), np.ascontiguousarray(pixels[..., -1:]), icc


def _read_16_bits(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read pixels (H, W, C) and alpha (H, W, 1) or None with OpenCV."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError("damaged") from error
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("damaged, or of a kind that OpenCV can't read")
    if pixels.ndim == 2:
        return pixels[..., None], None
    colours = np.ascontiguousarray(pixels[..., 2::-1])  # OpenCV's order is blue, green, red, alpha
    if np.array_equal(colours[..., 0], colours[..., 1]) and np.array_equal(colours[..., 0], colours[..., 2]):
        colours = np.ascontiguousarray(colours[..., :1])  # OpenCV reads grey with alpha as four channels
    return colours, np.ascontiguousarray(pixels[..., 3:]) if pixels.shape[2] == 4 else None


def _write_8_bits(path: Path, content: np.ndarray, image_format: str, picture: Picture, quality: int) -> None:
    image = Image.fromarray(content[..., 0] if content.shape[2] == 1 else content)
    options: dict = {"exif": picture.exif} if picture.exif and image_format != "BMP" else {}
    if picture.icc and image_format != "BMP":
        options["icc_profile"] = picture.icc
    if image_format in ("JPEG", "WEBP"):
        options["quality"] = quality
    if image_format == "JPEG" and quality >= 90:
        options["subsampling"] = 0  # 4:4:4: at high quality, subsampled chroma would be the largest error
    if image_format == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    if image_format == "PNG":
        options["compress_level"] = 3  # a tenth larger than by default, in a third of the time
    image.save(path, image_format, **options)


def _encode_16_bit_png(content: np.ndarray, picture: Picture) -> bytes:
    if content.shape[2] == 2:  # OpenCV can't write grey with alpha
        content = content[..., (0, 0, 0, 1)]
    bgr = content[..., (2, 1, 0, 3)[: content.shape[2]]] if content.shape[2] > 1 else content
    metadata = {}
    if picture.exif:
        metadata[cv2.IMAGE_METADATA_EXIF] = np.frombuffer(picture.exif.removeprefix(b"Exif\0\0"), np.uint8)
    if picture.icc:
        metadata[cv2.IMAGE_METADATA_ICCP] = np.frombuffer(picture.icc, np.uint8)
    bgr = np.ascontiguousarray(bgr)
    success, buffer = cv2.imencodeWithMetadata(".png", bgr, list(metadata), list(metadata.values()))
    if not success:
        raise ValueError("OpenCV can't encode it")
    return buffer.tobytes()


def _write_16_bit_tiff(path: Path, content: np.ndarray, picture: Picture) -> None:
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
