"""Image files: list them, read them as 8-bit arrays, and read their sizes without decoding them."""

import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from sr_experiments.errors import SRError
from sr_experiments.walk import UNREAD, Walk, walk

T = TypeVar("T")

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".bmp", ".tif", ".tiff", ".webp")

# The only Pillow formats that are opened: Pillow goes by content rather than extension, and some formats (EPS) start
# external programs.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")

# Pillow warns of large images and refuses twice as large ones; the refusal is enough.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(SRError):
    """An image file is missing, truncated or not an image; the message names the file."""


Size = tuple[int, int] | UnreadableImage  # (height, width), or the error in its place


def open_image(path: str | Path) -> Image.Image:
    """Open an image with Pillow, which reads its header.

    Raises:
        Exception: whatever Pillow raises on a file that is missing, damaged, not an image or too large; see
            `unreadable`.
    """
    if not Path(path).is_file() and Path(path).exists():
        raise ValueError("not a regular file")  # reading a pipe or a device might never end
    return Image.open(path, formats=_FORMATS)


def unreadable(path: str | Path, error: Exception) -> UnreadableImage:
    """Return the error to raise for an exception that occurred while reading an image."""
    if isinstance(error, FileNotFoundError):
        if Path(path).is_symlink():
            return UnreadableImage(f"{path} is a broken link, {Path(path).readlink()} is missing: mend or remove it")
        return UnreadableImage(f"{path} does not exist")
    if (todo := UNREAD.get(Path(path).suffix.lower())) and isinstance(error, Image.UnidentifiedImageError):
        return UnreadableImage(f"{path} is of a format that isn't read: {todo}")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "not an image, or an unknown format"
    if isinstance(error, MemoryError):
        reason = "too large for the available memory"
    return UnreadableImage(f"can't read image {path}: {reason}; replace or remove the file")


def result_or_error(function: Callable[..., T], *arguments: object) -> T | UnreadableImage:
    """Call a function and return its result, or the UnreadableImage it raises."""
    try:
        return function(*arguments)
    except UnreadableImage as error:
        return error


def walk_images(folder: str | Path, others: tuple[str, ...] = (), nested: bool = True) -> Walk:
    """Find all images in a folder and below it, and files with the `others` extensions; see `walk`."""
    extensions = (*EXTENSIONS, *others)
    return walk(folder, lambda name: name.lower().endswith(extensions), nested=nested)


def list_images(folder: str | Path) -> list[Path]:
    """List all images in a folder and below it, in natural order: `2.png` before `10.png`; see `walk`.

    What is left out is logged.

    Raises:
        SRError: no such folder, or no image in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise SRError(f"no folder {root}: looked for images there; check the path")
    # Strings until the end: for a hundred thousand files, making and comparing Paths takes seconds.
    found = walk_images(root)
    paths = list(found.paths())
    if not paths:
        raise SRError(f"no images in {root} or below it: looked for {' '.join(EXTENSIONS)}{and_left_out(found)}")
    found.log_left_out()
    start = len(str(root)) + 1
    return [Path(path) for path in sorted(paths, key=lambda path: natural_key(path[start:]))]


def and_left_out(found: Walk) -> str:
    """Return what to append to a message that nothing was found: what was left out, and what to do with it."""
    line = found.left_out()
    todo = "; ".join(dict.fromkeys(UNREAD[extension] for extension in sorted(found.unread)))
    return (f"; {line}" if line else "") + (f": {todo}" if todo else "")


def natural_key(name: str) -> tuple[list[list[int | str]], str]:
    """Return a sort key that compares numbers in names by value, folder by folder."""
    *folders, last = name.split("/")
    return [*map(_natural_folder, folders), _natural(last)], name  # type: ignore[return-value]


def _natural(name: str) -> list[int | str]:
    return [int(piece) if piece.isdecimal() else piece.lower() for piece in re.split(r"(\d+)", name)]


_natural_folder = lru_cache(_natural)  # cached, since many files share a folder


def read_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Read an image with 8 bits per channel, rotated by its EXIF orientation.

    Palettes are resolved, grey is converted to RGB or RGB to grey (BT.601 luma), alpha is dropped, 16-bit grey is
    scaled to 8 bits; of 16-bit colour, Pillow reads the high byte. The result is uint8 (H, W, channels).

    Raises:
        UnreadableImage: the file is missing or damaged, or has 32 bits per channel, which have no defined range.
    """
    try:
        with open_image(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I") or image.mode == "F":
                image = Image.fromarray(_wide_to_8_bits(image))
            if image.mode == "P":
                image = image.convert("RGBA")  # palette colours can be transparent; converting to RGB would warn
            pixels = np.array(image.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error
    return pixels[:, :, None] if channels == 1 else pixels


def image_size(path: str | Path) -> tuple[int, int]:
    """Read (height, width) as of `read_image` from the header alone.

    Raises:
        UnreadableImage: the file is missing or not an image.
    """
    try:
        with open_image(path) as file:
            # For a rotated TIFF, some versions of Pillow report the size before rotation, others after.
            width, height = (file.tag_v2[256], file.tag_v2[257]) if isinstance(file, TiffImageFile) else file.size
            # Asking a PNG for EXIF that is not in its header would decode the image. Orientations 5 to 8 swap axes.
            swapped = (file.format != "PNG" or "exif" in file.info) and file.getexif().get(0x0112, 1) >= 5
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error
    return (width, height) if swapped else (height, width)


def image_sizes(paths: Sequence[Path]) -> list[Size]:
    """Read the sizes of many files in parallel, as `image_size`; errors are returned in place of sizes."""
    parts = [paths[i : i + 64] for i in range(0, len(paths), 64)]  # one task per file would cost more than the reading
    with ThreadPoolExecutor(16) as pool:
        sizes = pool.map(lambda part: [result_or_error(image_size, path) for path in part], parts)
        return [size for part in sizes for size in part]


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale values from 0 to 65535 to uint8, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _wide_to_8_bits(image: Image.Image) -> np.ndarray:
    """Return the values of an image in one of Pillow's wide modes as uint8."""
    values = np.array(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("32 bits per channel have no defined range, convert it to 8 or 16")
    return to_8_bits(values)
