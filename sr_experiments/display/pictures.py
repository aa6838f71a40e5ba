"""Pictures for people: tensors as images, error maps, labelled images side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from torch import Tensor

GAP = 4  # pixels between pictures
LABEL_HEIGHT = 20
ERROR_RANGE = 64  # mean absolute difference, in levels of 255, that an error map shows as the brightest


def labelled(pictures: dict[str, Image.Image]) -> Image.Image:
    """Place pictures of the same size side by side, each below its label, which is as small as it must be to fit."""
    width, height = next(iter(pictures.values())).size
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height + LABEL_HEIGHT), "white")
    for i, (label, picture) in enumerate(pictures.items()):
        x = i * (width + GAP)
        fonts = map(ImageFont.load_default, range(13, 6, -1))
        font = next((font for font in fonts if font.getlength(label) <= width - 2), ImageFont.load_default(7))
        above = Image.new("RGB", (width, LABEL_HEIGHT), "white")  # its own, so that no label runs into the next
        ImageDraw.Draw(above).text((2, 3), label, fill="black", font=font)
        sheet.paste(above, (x, 0))
        sheet.paste(picture, (x, LABEL_HEIGHT))
    return sheet


def stacked(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Place pictures below each other, on white."""
    height = sum(picture.height + gap for picture in pictures) - gap
    sheet = Image.new("RGB", (max(picture.width for picture in pictures), height), "white")
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + gap
    return sheet


def as_picture(tile: "Tensor", bands: Sequence[int] = ()) -> Image.Image:
    """Convert a tensor (1, C, H, W) in [0, 1] to an 8-bit RGB image.

    Args:
        tile: grey, RGB, or of other bands.
        bands: indices of the bands that are shown as red, green and blue; without them, the first three, or the first
            of two.
    """
    image = tile[0]
    if bands and image.shape[0] not in (1, 3):
        image = image[list(bands)]
    elif image.shape[0] > 3:
        image = image[:3]
    pixels = image.float().mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()  # (H, W, C)
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).convert("RGB")


def error_map(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of the channels as colours, black to bright; uint8 (H, W, 3), all three."""
    import cv2

    levels = np.abs(sr.astype(np.int16) - hr).mean(axis=2) * (255 / ERROR_RANGE)
    bgr = cv2.applyColorMap(levels.clip(0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return bgr[..., ::-1].copy()
