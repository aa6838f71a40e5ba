"""Colour shift: how far SR is from the colours of the LR picture it was made from."""

import numpy as np

from sr_experiments.data.degradations import Degradation
from sr_experiments.data.depth import WORDS
from sr_experiments.evaluation.candidates import to_pixels, to_tensor
from sr_experiments.metrics.metric import SRMetric


class ColourShift(SRMetric):
    """Mean CIEDE2000 between LR and SR degraded to LR's size; a difference below 1 can hardly be seen.

    It is no metric of METRICS: it compares SR with LR, not with HR, and needs the degradation.

    Args:
        degradation: that made LR from HR.
    """

    higher_is_better = False
    needs_rgb = True

    def __init__(self, degradation: Degradation) -> None:
        super().__init__()
        self.degradation = degradation
        how = type(degradation).__name__
        self.convention = (
            f"mean CIEDE2000 between LR and SR made small again ({how}), whole {WORDS[degradation.bits]} images"
        )

    def update(self, sr: np.ndarray, lr: np.ndarray) -> None:
        """Add a picture: (scale * H, scale * W, 3) in sRGB, of the degradation's depth, and LR, (H, W, 3)."""
        from skimage.color import deltaE_ciede2000, rgb2lab

        small = to_pixels(self.degradation.validation(to_tensor(sr)), self.degradation.bits)
        self.total += float(deltaE_ciede2000(rgb2lab(lr), rgb2lab(small)).mean())
        self.count += 1
