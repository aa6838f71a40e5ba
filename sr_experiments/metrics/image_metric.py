"""What the image metrics share: 8-bit images, cropped borders, the mean over images."""

from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from sr_experiments.errors import SRError

Channels = Literal["y", "rgb"]


class ImageMetric(Metric):
    """Mean over images of a value per image, right under DDP: sum and count are summed over processes.

    A subclass gives `per_image`.

    Args:
        crop_border: pixels cut from each side before measuring; the field's habit is `scale`.
    """

    full_state_update = False
    higher_is_better = True
    convention: str
    total: Tensor
    count: Tensor

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__()
        self.crop_border = crop_border
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] twice to (N,)."""
        raise NotImplementedError

    def update(self, sr: Tensor, hr: Tensor) -> None:
        """Take a batch in: (N, C, H, W) in [0, 1], C of 3 or 1."""
        values = self.per_image(sr, hr)
        self.total += values.double().sum()
        self.count += len(values)

    def compute(self) -> Tensor:
        """The mean over all images."""
        return self.total / self.count

    def prepare(self, image: Tensor) -> Tensor:
        """Clamp, round to 255ths, cut the border: float64 in [0, 1].

        Raises:
            SRError: nothing is left within the border.
        """
        image = image.double().clamp(0, 1).mul(255).round().div(255)
        b = self.crop_border
        if min(image.shape[-2:]) <= 2 * b:
            raise SRError(f"an image of {image.shape[-1]}x{image.shape[-2]} is too small to cut {b} pixels a side")
        return image[..., b : image.shape[-2] - b, b : image.shape[-1] - b]


def luma(image: Tensor) -> Tensor:
    """BT.601 luma with the range 16-235, MATLAB's `rgb2ycbcr`: (N, 3, H, W) in [0, 1] to (N, 1, H, W) in [16, 235].

    A grey image (N, 1, H, W) is the RGB image with three equal channels.
    """
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return 16 + (image.expand(-1, 3, -1, -1) * weights).sum(1, keepdim=True)
