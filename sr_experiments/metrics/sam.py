"""SAM: how far the spectrum of a pixel of SR points away from that of HR."""

import torch
from torch import Tensor

from sr_experiments.data.depth import WORDS, Bits
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import ImageMetric


@METRICS.register("sam")
class SAM(ImageMetric):
    """Spectral angle mapper (Kruse et al. 1993): mean over pixels of the angle between the bands of SR and HR.

    In degrees, averaged over images; 0 is best. Brightness alone does not change an angle. The angle is 0 where both
    pixels are black, and 90 where one is.
    """

    higher_is_better = False
    digits = 3
    unit = "deg"
    any_channels = True
    needs_rgb = True

    def __init__(self, crop_border: int = 0, bits: Bits = 8) -> None:
        super().__init__(crop_border, bits)
        self.convention = f"spectral angle in degrees, crop {crop_border}, {WORDS[bits]}, mean over pixels, then images"

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, C, H, W) in [0, 1] twice to (N,) in degrees."""
        sr, hr = self.prepare(sr), self.prepare(hr)
        lengths = sr.norm(dim=1), hr.norm(dim=1)  # (N, H, W)
        product = lengths[0] * lengths[1]
        cosine = torch.where(product > 0, (sr * hr).sum(1) / product.clamp(min=1e-30), 0.0)
        cosine = torch.where(lengths[0] + lengths[1] > 0, cosine, 1.0).clamp(-1, 1)
        return torch.rad2deg(torch.acos(cosine)).flatten(1).mean(1)
