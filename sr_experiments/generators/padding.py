"""Padding and cropping for networks that need image sizes of a certain multiple."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def replicate_pad(image: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad (N, C, H, W) by repeating its edge pixels, to (N, C, top + H + bottom, left + W + right)."""
    if not torch.compiler.is_compiling():
        return F.pad(image, (left, right, top, bottom), mode="replicate")
    # The same pixels, by operations that torch.export follows for every size, and torch.compile in backward.
    height, width = image.shape[-2:]
    rows = torch.arange(-top, height + bottom, device=image.device).clamp(0, height - 1)
    columns = torch.arange(-left, width + right, device=image.device).clamp(0, width - 1)
    return image.index_select(2, rows).index_select(3, columns)


def pad_to_multiple(image: Tensor, multiple: int, mode: Literal["replicate", "constant"] = "replicate") -> Tensor:
    """Pad (N, C, H, W) on the right and below until H and W are multiples of `multiple`.

    The padding repeats the image's edge pixels ("replicate") or is of zeros ("constant").
    """
    bottom, right = ((side + multiple - 1) // multiple * multiple - side for side in image.shape[-2:])
    if mode == "constant":
        return F.pad(image, (0, right, 0, bottom))
    return replicate_pad(image, 0, right, 0, bottom)


def reflect_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pad (N, C, H, W) on the right and below by its mirror image, until H and W are multiples of `multiple`.

    An image that is smaller than its padding is mirrored again and again.
    """
    for dimension in (2, 3):
        side = image.shape[dimension]
        index = torch.arange((side + multiple - 1) // multiple * multiple, device=image.device)
        period = torch.arange(side, device=image.device)[-1:].mul(2).clamp(min=1)  # a tensor, for exporters
        index = index % period
        image = image.index_select(dimension, torch.minimum(index, period - index))
    return image


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """Return the upper left (N, C, height, width) of an image."""
    if not torch.compiler.is_exporting():
        return image[..., :height, :width]
    rows, columns = (torch.arange(side, device=image.device) for side in (height, width))
    return image.index_select(2, rows).index_select(3, columns)
