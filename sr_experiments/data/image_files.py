"""Image files: find them, read them as 8-bit arrays, know their sizes without decoding them."""

import os
import re
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from sr_experiments.errors import SRError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# What Pillow raises on a damaged file, depending on its format and on where the damage is.
_DAMAGE = (OSError, SyntaxError, ValueError, KeyError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class UnreadableImage(SRError):
    """An image file that is missing, truncated or not an image; the message names it."""


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
        found += [Path(parent, name) for name in files if name.lower().endswith(EXTENSIONS) and name[0] != "."]
    if not found:
        raise SRError(f"no images in {root} or below it: looked for {' '.join(EXTENSIONS)}")
    return sorted(found, key=lambda path: natural_key(path.relative_to(root).as_posix()))


def natural_key(name: str) -> tuple:
    """Sort key that compares the numbers in names as numbers, folder by folder."""
    parts = [
        [int(piece) if piece.isdecimal() else piece.lower() for piece in re.split(r"(\d+)", part)]
        for part in name.split("/")
    ]
    return parts, name  # type: ignore[return-value]


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
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I") or image.mode == "F":
                image = _to_8_bits(image)
            if image.mode == "P":
                image = image.convert("RGBA")  # its colours can be transparent
            pixels = np.array(image.convert("L" if channels == 1 else "RGB"))
    except _DAMAGE as error:
        raise UnreadableImage(_describe(path, error)) from error
    return pixels[:, :, None] if channels == 1 else pixels


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) as `read_image` would give it, from the header alone.

    Raises:
        UnreadableImage: the file is missing or not an image.
    """
    try:
        with Image.open(path) as file:
            # Of a TIFF, some versions of Pillow give the size before turning, others after.
            width, height = (file.tag_v2[256], file.tag_v2[257]) if isinstance(file, TiffImageFile) else file.size
            # Asking a PNG for EXIF that isn't in its header would decode the whole image.
            turned = (file.format != "PNG" or "exif" in file.info) and file.getexif().get(0x0112, 1) >= 5
    except _DAMAGE as error:
        raise UnreadableImage(_describe(path, error)) from error
    return (width, height) if turned else (height, width)


def image_sizes(paths: Sequence[Path]) -> list[tuple[int, int] | UnreadableImage]:
    """`image_size` of many files at once; what can't be read is returned in its place."""

    def size(path: Path) -> tuple[int, int] | UnreadableImage:
        try:
            return image_size(path)
        except UnreadableImage as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(size, paths))


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.array(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("32 bits a channel have no defined range, convert it to 8 or 16")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _describe(path: str | Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist"
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "not an image, or an unknown format"
    return f"can't read image {path}: {reason}; replace or remove the file"
