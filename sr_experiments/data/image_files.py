"""Image files: list them, read them as arrays, and read their sizes and depths without decoding them."""

import logging
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from sr_experiments.data.depth import Bits, beyond_range
from sr_experiments.data.formats import avif, exr_image, heif_image, jxl_image
from sr_experiments.data.formats.decoded import Decoded, in_depth
from sr_experiments.data.formats.exr_image import ExrImage
from sr_experiments.data.formats.heif_image import HeifImage
from sr_experiments.data.formats.pillow_image import HEAD, PillowImage
from sr_experiments.errors import SRError
from sr_experiments.files.walk import UNREAD, Walk, walk
from sr_experiments.packages.extras import MissingExtra
from sr_experiments.video.formats import ANIMATIONS

if TYPE_CHECKING:
    from sr_experiments.data.formats.tiff_image import TiffImage

log = logging.getLogger(__name__)

T = TypeVar("T")

EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".jxl"),
    *(heif_image.EXTENSIONS if heif_image.is_installed() else ()),
    *(exr_image.EXTENSIONS if exr_image.is_installed() else ()),
)

IF_RGB = "if they are red, green and blue, write them as one page"  # of three pages

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are of BigTIFF


class UnreadableImage(SRError):
    """An image file is missing, truncated or not an image; the message names the file."""


Size = tuple[int, int] | UnreadableImage  # (height, width), or the error in its place


@contextmanager
def open_image(path: str | Path) -> "Iterator[PillowImage | HeifImage | jxl_image.JxlImage | ExrImage | TiffImage]":
    """Open an image by its content, whatever its extension, and read its header.

    Raises:
        Exception: whatever a decoder raises on a file that is missing, damaged, not an image or too large; see
            `unreadable`.
    """
    if not Path(path).is_file() and Path(path).exists():
        raise ValueError("not a regular file")  # reading a pipe or a device might never end
    with Path(path).open("rb") as file:
        head = file.read(HEAD)
        file.seek(0)
        if head.startswith(_TIFF_SIGNATURES):
            from sr_experiments.data.formats.tiff_image import TiffImage  # here, since importing tifffile takes time

            yield TiffImage(file)
        elif head.startswith((jxl_image.CODESTREAM, jxl_image.CONTAINER)):
            yield jxl_image.JxlImage(file)
        elif head.startswith(exr_image.SIGNATURE):
            yield ExrImage(file)
        elif (found := avif.brands(file)) and b"avif" not in found and set(heif_image.BRANDS) & set(found):
            yield HeifImage(file)
        else:
            yield PillowImage(file, head)


def unreadable(path: str | Path, error: Exception) -> UnreadableImage:
    """Return the error to raise for an exception that occurred while reading an image."""
    if isinstance(error, FileNotFoundError):
        if Path(path).is_symlink():
            return UnreadableImage(f"{path} is a broken link, {Path(path).readlink()} is missing: mend or remove it")
        return UnreadableImage(f"{path} does not exist")
    suffix = Path(path).suffix.lower()
    is_unread = suffix in UNREAD and suffix not in ANIMATIONS
    if is_unread and isinstance(error, Image.UnidentifiedImageError):
        return UnreadableImage(f"{path} is of a format that isn't read: {UNREAD[suffix]}")
    if isinstance(error, MissingExtra):
        return UnreadableImage(f"can't read image {path}: {error}")
    if Path(path).is_dir():
        return UnreadableImage(f"can't read image {path}: a folder; give an image")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "not an image, or an unknown format"
    if isinstance(error, LookupError | TypeError | AttributeError | ArithmeticError | struct.error):
        reason = "damaged"  # a decoder that stumbled over nonsense
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


def read_image(path: str | Path, channels: int = 3, bits: Bits = 8, clip: bool = False) -> np.ndarray:
    """Read an image at a depth, rotated by its EXIF orientation.

    Of a file of several pictures it is the first that is no preview. Palettes are resolved, CMYK becomes RGB by its
    colour profile, grey is converted to RGB or RGB to grey (BT.601 luma), alpha is dropped, colours multiplied by it
    are divided by it; other depths are scaled and rounded, see `to_depth`. Of other numbers of channels all samples of
    the file are read as they are, alpha too, and there must be as many. Floating-point numbers beyond 0 and 1 are an
    error, unless they are to be clipped.

    Returns:
        uint8, uint16 or, in [0, 1], float32 (H, W, channels).

    Raises:
        UnreadableImage: the file is missing or damaged, has other channels, or is of a kind whose range or colours are
            not defined.
    """
    try:
        with open_image(path) as image:
            if channels in (1, 3) and bits == 8 and isinstance(image, PillowImage):
                return image.read_8_bits(channels)
            decoded = image.decode() if channels in (1, 3) else all_bands(image)
            try:
                return in_depth(decoded, channels, bits, clip)
            except ValueError as error:
                raise _of_no_data(image, decoded) or error from None
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error


def _of_no_data(image: Any, decoded: Decoded) -> ValueError | None:
    """Return the error that pixels of a GeoTIFF without data are not from 0 to 1; None if they are."""
    pixels = decoded.pixels
    geo = image.metadata().geo if pixels.dtype.kind == "f" else None
    empty = None if geo is None else geo.empty(pixels)
    if geo is None or empty is None or not (empty & beyond_range(pixels)).any():
        return None
    return ValueError(f"some of its pixels have no data ({geo.no_data}): fill them, or cut the image")


def all_bands(image: Any) -> Decoded:
    """Read all samples of an image: of formats without bands, the colours and alpha."""
    if hasattr(image, "decode_bands"):
        return image.decode_bands()
    decoded = image.decode()
    if decoded.alpha is None:
        return decoded
    return decoded._replace(pixels=np.concatenate((decoded.pixels, decoded.alpha), 2), alpha=None)


class Header(NamedTuple):
    """What the header of an image says: (height, width) as of `read_image`, depth, 3 or its bands, and its pages."""

    size: tuple[int, int]
    depth: Bits
    channels: int
    pages: int


def image_header(path: str | Path) -> Header:
    """Read the header of an image.

    Raises:
        UnreadableImage: the file is missing or not an image.
    """
    try:
        with open_image(path) as image:
            bands, pages = getattr(image, "bands", None), getattr(image, "pages", 1)
            return Header(image.size, image.depth, bands or 3, pages)
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error


def image_layout(path: str | Path) -> tuple[Bits, int]:
    """Read from the header alone how deep an image is, and how many channels it is read with: 3, or its bands.

    Raises:
        UnreadableImage: the file is missing or not an image.
    """
    header = image_header(path)
    return header.depth, header.channels


def say_pages(pages: Mapping[Path, int], hint: str = "write them as the samples of one page, all ") -> None:
    """Log, of images that are read as grey or RGB, that only the first of several pages is read.

    Args:
        pages: number of the pages of each image.
        hint: how to read each page as a band, such as `set channels=`; the number of pages is appended.
    """
    if several := [path for path, count in pages.items() if count > 1]:
        others = f", like {len(several) - 1} more," if len(several) > 1 else ""
        first = several[0]
        todo = IF_RGB if pages[first] == 3 else f"if they are bands, {hint}{pages[first]}"
        log.warning("%s%s has %d pages, and only the first is read: %s", first, others, pages[first], todo)


def decode_image(path: str | Path) -> Decoded:
    """Read an image as it is: grey or colour, of any depth, with its alpha channel.

    Raises:
        UnreadableImage: as `read_image`.
    """
    try:
        with open_image(path) as image:
            return image.decode()
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error


def image_size(path: str | Path) -> tuple[int, int]:
    """Read (height, width) as of `read_image` from the header alone.

    Raises:
        UnreadableImage: the file is missing or not an image.
    """
    try:
        with open_image(path) as image:
            return image.size
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise unreadable(path, error) from error


def image_sizes(paths: Sequence[Path]) -> list[Size]:
    """Read the sizes of many files in parallel, as `image_size`; errors are returned in place of sizes."""
    return _of_all(image_size, paths)


def image_headers(paths: Sequence[Path]) -> list[Header | UnreadableImage]:
    """Read the headers of many files in parallel, as `image_header`; errors are returned in their place."""
    return _of_all(image_header, paths)


def _of_all(function: Callable[[Path], T], paths: Sequence[Path]) -> list[T | UnreadableImage]:
    parts = [paths[i : i + 64] for i in range(0, len(paths), 64)]  # one task per file would cost more than the reading
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda part: [result_or_error(function, path) for path in part], parts)
        return [each for part in found for each in part]
