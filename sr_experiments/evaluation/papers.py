"""Bicubic as papers report it, which differs a little from bicubic measured by the protocol of all else.

The code of SRCNN (Dong et al. 2014), which most tables of Set5, Set14 and BSD100 go back to, works on luma alone:
round it to 8 bits, make it small and large again without rounding in between, round it, and compare it with HR's
rounded luma. That gives Set5 x4 its 28.42 dB and 0.8104; the networks' way, with 8-bit RGB images, 28.43 dB and 0.8111.
"""

from fractions import Fraction

import numpy as np

from sr_experiments.data.resize import imresize
from sr_experiments.evaluation.candidates import to_pixels, to_tensor
from sr_experiments.metrics.image_metric import luma
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.metrics.ssim import SSIM

NAME = "bicubic (papers)"
CONVENTION = (
    "bicubic on luma alone as in SRCNN's code, from which papers have their values: no rounding of LR, 8-bit luma of "
    "SR and HR; the column bicubic is measured as the networks are, with 8-bit RGB"
)


def papers_bicubic(hr: np.ndarray, scale: int, crop: int) -> dict[str, float]:
    """Measure PSNR and SSIM on luma.

    Args:
        hr: uint8 (H, W, C), sides multiples of the scale.
        scale: whole factor.
        crop: pixels cut from each side.
    """
    y = luma(to_tensor(hr)).round() / 255  # (1, 1, H, W)
    small = imresize(y, Fraction(1, scale), bits="float")
    large = imresize(small, Fraction(scale), bits="float")
    # Given one channel, the metrics on "rgb" compare its levels as they are, without a conversion to luma.
    metrics = {"psnr_y": PSNR("rgb", crop), "ssim_y": SSIM("rgb", crop)}
    return {key: float(metric.per_image(large, y)) for key, metric in metrics.items()}


def is_bicubic(hr: np.ndarray, lr: np.ndarray, scale: int) -> bool:
    """Return whether LR is exactly what MATLAB's `imresize(hr, 1 / scale)` gives."""
    return np.array_equal(to_pixels(imresize(to_tensor(hr), Fraction(1, scale))), lr)
