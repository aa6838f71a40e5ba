"""PSNR, with the conventions of the SR literature."""

import torch
from torch import Tensor

from sr_experiments.data.depth import WORDS, Bits
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import Channels, ImageMetric, luma


@METRICS.register("psnr")
class PSNR(ImageMetric):
    """10 log10(255^2 / MSE) per image, in dB, averaged over images (never a pooled MSE); infinite for equal images.

    Args:
        channels: "y" for BT.601 luma (16-235), "rgb" for all channels together, "bands" for all of any number.
    """

    higher_is_better = True
    digits = 2
    unit = "dB"

    def __init__(self, channels: Channels = "y", crop_border: int = 0, bits: Bits = 8) -> None:
        super().__init__(crop_border, bits)
        self.channels = channels
        self.needs_rgb, self.any_channels = channels == "rgb", channels == "bands"
        on = {"y": "Y (BT.601, 16-235)", "rgb": "RGB", "bands": "all bands"}[channels]
        self.convention = f"PSNR in dB, {on}, crop {crop_border}, {WORDS[bits]}, mean over images"

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, C, H, W) in [0, 1] twice to (N,) in dB."""
        sr, hr = self.prepare(sr), self.prepare(hr)
        difference = luma(sr) - luma(hr) if self.channels == "y" else 255 * (sr - hr)
        return 10 * torch.log10(255**2 / difference.square().flatten(1).mean(1))


@METRICS.register("psnr_bandwise")
class BandwisePSNR(ImageMetric):
    """Mean over bands of the PSNR of each band, in dB, averaged over images (MPSNR of the hyperspectral literature).

    A dark band, with small errors, counts as much as a bright one. Infinite if a band is equal.
    """

    higher_is_better = True
    digits = 2
    unit = "dB"
    any_channels = True

    def __init__(self, crop_border: int = 0, bits: Bits = 8) -> None:
        super().__init__(crop_border, bits)
        self.convention = (
            f"mean over bands of PSNR in dB, range of the type, crop {crop_border}, {WORDS[bits]}, mean over images"
        )

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, C, H, W) in [0, 1] twice to (N,) in dB."""
        difference = self.prepare(sr) - self.prepare(hr)
        return (-10 * torch.log10(difference.square().mean((2, 3)))).mean(1)
