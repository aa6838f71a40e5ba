"""Depth of pixels: integers of 8 or 16 bits over the whole range of their type, or floating-point numbers in [0, 1]."""

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from sr_experiments.errors import SRError

if TYPE_CHECKING:
    from torch import Tensor

Bits = Literal[8, 16, "float"]
DTYPES: dict[Bits, type[np.generic]] = {8: np.uint8, 16: np.uint16, "float": np.float32}
LEVELS: dict[Bits, int | None] = {8: 255, 16: 65535, "float": None}  # white
WORDS: dict[Bits, str] = {8: "8-bit", 16: "16-bit", "float": "floating-point"}

_LUMA = (19595, 38470, 7471)  # BT.601 in units of 1/65536, as in Pillow


def bits_of(dtype: Any) -> Bits:
    """Return the depth of pixels of a type: uint8, uint16 or a floating-point one."""
    kind = np.dtype(dtype)
    return "float" if kind.kind == "f" else 8 if kind == np.uint8 else 16


def deepest(depths: Collection[Bits]) -> Bits:
    """Return the depth that holds all others; 8 bits if there are none."""
    return next((bits for bits in ("float", 16) if bits in depths), 8)


def to_depth(pixels: np.ndarray, bits: Bits) -> np.ndarray:
    """Convert pixels of any depth: white stays white, and values are rounded; the same pixels if nothing changes.

    From floating-point numbers to 8 bits they are rounded to 16 bits first.

    Args:
        pixels: uint8, uint16 or floating-point numbers in [0, 1]; others become black or white as integers.
        bits: of the result, uint8, uint16 or float32.
    """
    own = bits_of(pixels.dtype)
    if own == bits:
        return pixels if bits != "float" else pixels.astype(np.float32, copy=False)
    if bits == "float":
        return pixels.astype(np.float32) / np.float32(LEVELS[own])
    if own == "float":
        pixels = (pixels.astype(np.float64).clip(0, 1) * 65535 + 0.5).astype(np.uint16)
        return to_depth(pixels, bits)
    if bits == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Convert pixels (H, W, C) of any depth to grey, by BT.601 luma, or RGB; any others need as many channels.

    Raises:
        ValueError: they have other channels.
    """
    own = pixels.shape[2]
    if own == channels:
        return pixels
    if {own, channels} != {1, 3}:
        raise ValueError(f"it has {own} channel{'s' if own > 1 else ''}, and channels={channels} needs as many")
    if channels == 3:
        return pixels.repeat(3, 2)
    if pixels.dtype == np.uint8:
        return np.array(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[:, :, None]
    if pixels.dtype == np.uint16:
        grey = (pixels.astype(np.uint32) * np.array(_LUMA, np.uint32)).sum(2, dtype=np.uint32, keepdims=True)
        return ((grey + 32768) >> 16).astype(np.uint16)
    return (pixels @ (np.array(_LUMA, np.float32) / 65536))[:, :, None]


def in_range(pixels: np.ndarray, clip: bool = False) -> np.ndarray:
    """Return pixels of any depth; floating-point numbers beyond 0 (black) and 1 (white) are clipped or refused.

    Raises:
        ValueError: without `clip`, there are such numbers; there are some that are no numbers.
    """
    if pixels.dtype.kind != "f":
        return pixels
    if clip and not np.isnan(pixels).any():
        return pixels.clip(0, 1)
    check_range(pixels)
    return pixels


def beyond_range(pixels: np.ndarray) -> np.ndarray:
    """Return which of floating-point numbers are not from 0 to 1, or no numbers."""
    return ~((pixels >= 0) & (pixels <= 1))


def check_range(pixels: np.ndarray) -> None:
    """Refuse floating-point numbers that are not from 0, black, to 1, white.

    Raises:
        ValueError: there are such numbers, or some that are no numbers.
    """
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    if math.isnan(low):
        raise ValueError(
            "some of its floating-point numbers are NaN, and only 0 (black) to 1 (white) have a defined "
            "meaning: replace them"
        )
    if low < 0 or high > 1:
        raise ValueError(
            f"its floating-point numbers are from {low:.4g} to {high:.4g}, and only 0 (black) to 1 (white) have a "
            "defined meaning: divide them by the value of white and clip them, or convert it to 8 or 16 bits"
        )


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode numbers that are linear in light, in [0, 1], by sRGB's transfer function (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def from_srgb(encoded: np.ndarray) -> np.ndarray:
    """Decode numbers in [0, 1] that are encoded by sRGB's transfer function: they become linear in light.

    Numbers beyond are decoded by the same curve, mirrored at 0 (as in IEC 61966-2-1, amendment 1).
    """
    size = np.abs(encoded)
    linear = np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return np.copysign(linear, encoded).astype(np.float32)


def quantised(image: "Tensor", bits: Bits) -> "Tensor":
    """Clamp a tensor to [0, 1] and round it to the levels of a depth; floating-point numbers are only clamped."""
    levels = LEVELS[bits]
    image = image.clamp(0, 1)
    return image if levels is None else image.mul(levels).round().div(levels)


def read_bits(text: str) -> Bits | None:
    """Return the depth that an option names, None for "auto".

    Raises:
        SRError: it is none of 8, 16 and float.
    """
    if text == "auto":
        return None
    known: dict[str, Bits] = {str(bits): bits for bits in DTYPES}
    if text not in known:
        raise SRError(f"{text!r} is no depth: choose one of {', '.join(known)}")
    return known[text]
