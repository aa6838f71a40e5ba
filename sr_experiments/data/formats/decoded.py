"""Pixels as every reader returns them, and the conversions between ranges, orientations and kinds of alpha."""

import math
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

from sr_experiments.data.depth import Bits, in_range, to_channels, to_depth, to_srgb


class Decoded(NamedTuple):
    """The upright pixels of an image file.

    A reader knows the depth of its file and scales to the whole range of the type: white is 255 or 65535 here, whatever
    it was in the file.

    Attributes:
        pixels: uint8, uint16 or float32, (H, W, C), with C = 3 for RGB or 1 for grey, or any number of bands.
            Floating-point numbers are as in the file, and `in_range` tells whether they are from 0 to 1.
        alpha: (H, W, 1) of the same type, by which pixels aren't multiplied; None if the image is opaque.
        icc: colour profile of the pixels, or None.
        lost: what the file holds besides and is not read, in words.
        bits: per channel in the file, where they are fewer than those of the type.
        linear: whether the numbers are linear in light, rather than encoded for a screen.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    lost: tuple[str, ...] = ()
    bits: int | None = None
    linear: bool = False


def to_full_range(values: np.ndarray, maximum: int) -> np.ndarray:
    """Scale values from 0 to `maximum`, rounded: to uint8 if it is at most 255, to uint16 if it is at most 65535."""
    kind, full = (np.uint8, 255) if maximum <= 255 else (np.uint16, 65535)
    if maximum != full:
        values = (values.astype(np.uint32) * (2 * full) + maximum) // (2 * maximum)
    return values.astype(kind, copy=False)


def to_levels(content: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """Scale uint16 from 0 to 65535 to 0 to the maximum of the depth, rounded; uint8 is returned as it is.

    Returns:
        The levels, and the depth: the first of 8, 10 and 12 bits that holds `bits`.
    """
    depth = next(depth for depth in (8, 10, 12) if bits <= depth)
    if content.dtype == np.uint8:
        return content, depth
    return ((content.astype(np.uint32) * (2**depth - 1) + 32767) // 65535).astype(np.uint16), depth


def check_pixels(pixels: int) -> None:
    """Refuse a picture of more pixels than Pillow decodes; a ValueError says how many."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or math.inf)
    if pixels > limit:
        raise ValueError(f"{pixels} pixels are more than the {limit} that are decoded")


def split_alpha(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colours of 1 to 4 channels (H, W, C), and alpha: the last of 2 and 4, else None."""
    colours = samples.shape[2] - (samples.shape[2] + 1) % 2
    alpha = np.ascontiguousarray(samples[..., colours:]) if samples.shape[2] > colours else None
    return np.ascontiguousarray(samples[..., :colours]), alpha


def swaps_axes(orientation: int) -> bool:
    """Return whether a picture with this EXIF or TIFF orientation has its height for its width."""
    return orientation in (5, 6, 7, 8)


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror an image (H, W, C) as the EXIF or TIFF orientation, 1 to 8, asks for; others change nothing."""
    if swaps_axes(orientation):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def unassociate(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Divide premultiplied colours (H, W, C) by their alpha (H, W, 1); black where it is 0.

    Integers, over the whole range of their type, are rounded and clipped; floating-point numbers are not.
    """
    if colours.dtype.kind == "f":
        return np.divide(colours, alpha, out=np.zeros_like(colours), where=alpha > 0)
    full, divisor = np.iinfo(colours.dtype).max, np.maximum(alpha, 1).astype(np.uint32)
    values = np.minimum((colours * np.uint32(full) + divisor // 2) // divisor, full) * (alpha > 0)
    return values.astype(colours.dtype)


def cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert an image of Pillow's mode CMYK to sRGB by its colour profile, or simply if that is missing or invalid."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            rgb = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
            assert rgb is not None  # it is only with inPlace
            return rgb
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def in_depth(decoded: Decoded, channels: int, bits: Bits, clip: bool = False) -> np.ndarray:
    """Return pixels without alpha, (H, W, channels) of a depth: RGB, grey as luma of BT.601, or all bands.

    Numbers that are linear in light stay so as floating-point ones, and are encoded as sRGB for 8 and 16 bits.

    Raises:
        ValueError: as of `in_range` and `to_channels`.
    """
    pixels = in_range(decoded.pixels, clip)
    if decoded.linear and bits != "float":
        pixels = to_srgb(pixels)
    return to_channels(to_depth(pixels, bits), channels)
