"""Image files: find them, read them as 8-bit arrays, know their sizes without decoding them."""

import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from sr_experiments.errors import SRError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# Of Pillow's formats these alone: a name says nothing about the content, and some formats start programs.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")

# Large images are read, those that are larger still are refused; Pillow's warnings of the ones between say no more.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(SRError):
    """An image file that is missing, truncated or not an image; the message names it."""


def open_image(path: str | Path) -> Image.Image:
    """Pillow's image of a file, with its header read.

    Raises:
        Exception: whatever Pillow raises on a file that is damaged, is none or is too large; see `unreadable`.
    """
    if not Path(path).is_file() and Path(path).exists():
        raise ValueError("it is no file")  # reading a pipe or a device might never end
    return Image.open(path, formats=_FORMATS)


def unreadable(path: str | Path, error: Exception) -> UnreadableImage:
    """The line for what was raised while an image was read."""
    if isinstance(error, FileNotFoundError):
        return UnreadableImage(f"{path} does not exist")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "not an image, or an unknown format"
    if isinstance(error, MemoryError):
        reason = "too large for the memory there is"
    return UnreadableImage(f"can't read image {path}: {reason}; replace or remove the file")


def list_images(folder: str | Path) -> list[Path]:
    """All images in a folder and below it, in natural order: `2.png` before `10.png`.

    Hidden files and folders are passed over, links are followed.

    Raises:
        SRError: no such folder, or no image in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise SRError(f"no folder {root}: looked for images there; check the path")
    found = []
    for parent, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [f"{parent}/{name}" for name in files if name.lower().endswith(EXTENSIONS) and name[0] != "."]
    if not found:
        raise SRError(f"no images in {root} or below it: looked for {' '.join(EXTENSIONS)}")
    start = len(str(root)) + 1
    return [Path(path) for path in sorted(found, key=lambda path: natural_key(path[start:]))]


def natural_key(name: str) -> tuple:
    """Sort key that compares the numbers in names as numbers, folder by folder."""
    *folders, last = name.split("/")
    return [*map(_natural_folder, folders), _natural(last)], name  # type: ignore[return-value]


def _natural(name: str) -> list[int | str]:
    return [int(piece) if piece.isdecimal() else piece.lower() for piece in re.split(r"(\d+)", name)]


_natural_folder = lru_cache(_natural)  # most files share theirs with others


def read_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Read an image as 8 bits a channel, turned the way its EXIF orientation says.

    Palettes are resolved, grey becomes RGB or the other way round (BT.601 luma), alpha is dropped; 16 bits of
    grey are scaled to 8, of 16-bit colour the high byte is taken.

    Args:
        path: the file.
        channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 array (H, W, channels).

    Raises:
        UnreadableImage: the file is missing, damaged, or of a kind with no defined range (32-bit).
    """
    try:
        with open_image(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I") or image.mode == "F":
                image = _to_8_bits(image)
            if image.mode == "P":
                image = image.convert("RGBA")  # its colours can be transparent
            pixels = np.array(image.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error
    return pixels[:, :, None] if channels == 1 else pixels


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) as `read_image` would give it, from the header alone.

    Raises:
        UnreadableImage: the file is missing or not an image.
    """
    try:
        with open_image(path) as file:
            # Of a TIFF, some versions of Pillow give the size before turning, others after.
            width, height = (file.tag_v2[256], file.tag_v2[257]) if isinstance(file, TiffImageFile) else file.size
            # Asking a PNG for EXIF that isn't in its header would decode the whole image.
            turned = (file.format != "PNG" or "exif" in file.info) and file.getexif().get(0x0112, 1) >= 5
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def image_sizes(paths: Sequence[Path]) -> list[tuple[int, int] | UnreadableImage]:
    """`image_size` of many files at once; what can't be read is returned in its place."""

    def size(path: Path) -> tuple[int, int] | UnreadableImage:
        try:
            return image_size(path)
        except UnreadableImage as error:
            return error

    parts = [paths[i : i + 64] for i in range(0, len(paths), 64)]
    with ThreadPoolExecutor(16) as pool:
        return [found for some in pool.map(lambda part: [size(path) for path in part], parts) for found in some]


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.array(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("32 bits a channel have no defined range, convert it to 8 or 16")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
