"""PSNR, with the conventions of the SR literature."""

import torch
from torch import Tensor

from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import Channels, ImageMetric, luma


@METRICS.register("psnr")
class PSNR(ImageMetric):
    """10 log10(255^2 / MSE) per image, in dB, averaged over images (never a pooled MSE); infinite for equal images.

    Args:
        channels: "y" for BT.601 luma (16-235), "rgb" for all channels together.
    """

    higher_is_better = True
    digits = 2
    unit = "dB"

    def __init__(self, channels: Channels = "y", crop_border: int = 0) -> None:
        super().__init__(crop_border)
        self.channels = channels
        self.needs_rgb = channels == "rgb"
        on = "Y (BT.601, 16-235)" if channels == "y" else "RGB"
        self.convention = f"PSNR in dB, {on}, crop {crop_border}, 8-bit, mean over images"

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, C, H, W) in [0, 1] twice to (N,) in dB."""
        sr, hr = self.prepare(sr), self.prepare(hr)
        difference = luma(sr) - luma(hr) if self.channels == "y" else 255 * (sr - hr)
        return 10 * torch.log10(255**2 / difference.square().flatten(1).mean(1))
