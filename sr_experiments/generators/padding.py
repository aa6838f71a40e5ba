"""Images of any size for networks that work in whole blocks of pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def whole_blocks(image: Tensor, block: int) -> Tensor:
    """(N, C, H, W) continued by its edge pixels to the right and below, H and W then multiples of `block`."""
    height, width = image.shape[-2:]
    if not torch.compiler.is_exporting():
        return F.pad(image, (0, -width % block, 0, -height % block), mode="replicate")
    # The same pixels in words that torch.export can follow for every size.
    rows = torch.arange((height + block - 1) // block * block, device=image.device).clamp(max=height - 1)
    columns = torch.arange((width + block - 1) // block * block, device=image.device).clamp(max=width - 1)
    return image.index_select(2, rows).index_select(3, columns)


def without_padding(image: Tensor, height: int, width: int) -> Tensor:
    """The upper left (N, C, height, width) of an image."""
    if not torch.compiler.is_exporting():
        return image[..., :height, :width]
    rows, columns = (torch.arange(side, device=image.device) for side in (height, width))
    return image.index_select(2, rows).index_select(3, columns)
