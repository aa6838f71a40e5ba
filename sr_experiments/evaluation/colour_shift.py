"""Colour shift: does an SR picture keep the colours of the picture it was made from?"""

import numpy as np

from sr_experiments.data.degradations import Degradation
from sr_experiments.evaluation.candidates import to_pixels, to_tensor


def colour_shift(sr: np.ndarray, lr: np.ndarray, degradation: Degradation) -> float:
    """Mean CIEDE2000 between LR and the SR picture made small again; a difference below 1 can hardly be seen.

    Args:
        sr: uint8 (scale * H, scale * W, 3), sRGB.
        lr: uint8 (H, W, 3).
        degradation: that made LR from HR.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    small = to_pixels(degradation.validation(to_tensor(sr)))
    return float(deltaE_ciede2000(rgb2lab(lr), rgb2lab(small)).mean())
