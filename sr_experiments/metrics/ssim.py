"""SSIM (Wang et al. 2004), with the conventions of the SR literature."""

from kornia.metrics import ssim
from torch import Tensor

from sr_experiments.data.depth import WORDS, Bits
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import Channels, ImageMetric, luma

WINDOW = 11


@METRICS.register("ssim")
class SSIM(ImageMetric):
    """Structural similarity: Gaussian window 11, sigma 1.5, K1 0.01, K2 0.03, range 255, valid region only.

    As in the paper's MATLAB code, and scikit-image with `gaussian_weights=True`. torchmetrics (1.9) averages over the
    image's borders too, which it mirrors: its values are up to .006 off on Set5.

    Args:
        channels: "y" for BT.601 luma (16-235), "rgb" for the mean over the three channels, "bands" for that over
            any number.
    """

    higher_is_better = True
    least_size = WINDOW

    def __init__(self, channels: Channels = "y", crop_border: int = 0, bits: Bits = 8) -> None:
        super().__init__(crop_border, bits)
        self.channels = channels
        self.needs_rgb, self.any_channels = channels == "rgb", channels == "bands"
        on = {"y": "Y (BT.601, 16-235)", "rgb": "RGB mean", "bands": "mean over bands"}[channels]
        self.convention = f"SSIM, {on}, Gaussian 11 / 1.5, crop {crop_border}, {WORDS[bits]}, mean over images"

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, C, H, W) in [0, 1] twice to (N,) in [-1, 1].

        Raises:
            SRError: the image, without its border, is smaller than the window.
        """
        sr, hr = self.prepare(sr), self.prepare(hr)
        if self.channels == "y":
            sr, hr = luma(sr) / 255, luma(hr) / 255
        return ssim(sr, hr, WINDOW, max_val=1.0, padding="valid").flatten(1).mean(1)
