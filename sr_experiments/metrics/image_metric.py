"""What the image metrics share: images of a depth, cropped borders, the mean over images."""

from typing import Literal

import torch
from torch import Tensor

from sr_experiments.data.depth import Bits, quantised
from sr_experiments.errors import SRError
from sr_experiments.metrics.metric import SRMetric

Channels = Literal["y", "rgb", "bands"]


class ImageMetric(SRMetric):
    """Mean over images of a value per image. A subclass gives `per_image`.

    Args:
        crop_border: pixels cut from each side before measuring; the field's habit is `scale`.
        bits: depth that images are rounded to: 8, 16 or "float", which are not rounded. A metric that takes no `bits`
            is always of 8 bits.
    """

    def __init__(self, crop_border: int = 0, bits: Bits = 8) -> None:
        super().__init__()
        self.crop_border = crop_border
        self.bits = bits
        self.latest: Tensor | None = None  # values of the images of the last update, (N,)

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, C, H, W) in [0, 1] twice to (N,)."""
        raise NotImplementedError

    def update(self, sr: Tensor, hr: Tensor) -> None:
        """Add a batch: (N, C, H, W) in [0, 1], C of 3 or 1, or of any number if `any_channels`."""
        values = self.latest = self.per_image(sr, hr)
        self.total += values.double().sum()
        self.count += len(values)

    def prepare(self, image: Tensor) -> Tensor:
        """Clamp, round to the depth, cut the border: float64 in [0, 1].

        Raises:
            SRError: less than `least_size` is left within the border.
        """
        # The pictures that people look at and papers measure are files, whose values are rounded.
        image = quantised(image.double(), self.bits)
        (height, width), b, least = image.shape[-2:], self.crop_border, self.least_size
        if min(height, width) <= 2 * b:
            raise SRError(f"an image of {width}x{height} is too small to cut {b} pixels a side")
        if min(height, width) < least + 2 * b:
            raise SRError(
                f"{type(self).__name__} needs {least}x{least} pixels within the border: "
                f"an image of {width}x{height}, of which {b} are cut from each side, has fewer"
            )
        return image[..., b : height - b, b : width - b]


def luma(image: Tensor) -> Tensor:
    """Return BT.601 luma with the range 16-235, MATLAB's `rgb2ycbcr`.

    (N, 3, H, W) in [0, 1] to (N, 1, H, W) in [16, 235]. A grey image (N, 1, H, W) is the RGB image with three equal
    channels.
    """
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return 16 + (image.expand(-1, 3, -1, -1) * weights).sum(1, keepdim=True)
