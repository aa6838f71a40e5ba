"""Images of any size for networks that work in whole blocks of pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def continued(image: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """(N, C, H, W) continued by its edge pixels, to (N, C, top + H + bottom, left + W + right)."""
    if not torch.compiler.is_compiling():
        return F.pad(image, (left, right, top, bottom), mode="replicate")
    # The same pixels in words that torch.export can follow for every size, and torch.compile backwards.
    height, width = image.shape[-2:]
    rows = torch.arange(-top, height + bottom, device=image.device).clamp(0, height - 1)
    columns = torch.arange(-left, width + right, device=image.device).clamp(0, width - 1)
    return image.index_select(2, rows).index_select(3, columns)


def whole_blocks(image: Tensor, block: int) -> Tensor:
    """(N, C, H, W) continued by its edge pixels to the right and below, H and W then multiples of `block`."""
    bottom, right = ((side + block - 1) // block * block - side for side in image.shape[-2:])
    return continued(image, 0, right, 0, bottom)


def without_padding(image: Tensor, height: int, width: int) -> Tensor:
    """The upper left (N, C, height, width) of an image."""
    if not torch.compiler.is_exporting():
        return image[..., :height, :width]
    rows, columns = (torch.arange(side, device=image.device) for side in (height, width))
    return image.index_select(2, rows).index_select(3, columns)
