"""tOF (Chu et al. 2020, TecoGAN, arXiv 1811.09393): whether SR moves as HR does."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from torch import Tensor

from sr_experiments.metrics import METRICS
from sr_experiments.metrics.temporal import TemporalMetric, crop_8x8, to_grey


@METRICS.register("tof")
class TOF(TemporalMetric):
    """Mean Euclidean distance between the optical flows of SR and HR, in pixels, as in TecoGAN's `metrics.py`.

    Farneback's flow from each frame to the next, on grey 8-bit frames; the first and the last two frames of a clip
    are left out, so a clip needs 6.

    Args:
        crop_border: unused, the definition has its own crop: flows of whole frames, cropped to multiples of 32.
    """

    unit = "px"
    skipped = 2

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__(crop_border)
        self.convention = (
            "tOF in pixels, Farneback flow of grey 8-bit frames, TecoGAN's crop to multiples of 32, "
            "without the first and last 2 frames, mean over pairs"
        )

    def frame(self, sr: Tensor, hr: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return both frames in grey, (H, W)."""
        crop_8x8(*hr.shape[-2:])  # refuses small frames before OpenCV sees them
        return to_grey(sr), to_grey(hr)

    def pair(self, previous: tuple[np.ndarray, np.ndarray], current: tuple[np.ndarray, np.ndarray]) -> float:
        """Return the distance between the flows from one frame to the next."""
        with ThreadPoolExecutor(2) as threads:  # OpenCV's Farneback uses one core
            sr_flow, hr_flow = threads.map(farneback, previous, current)
        inside = crop_8x8(*hr_flow.shape[:2])
        return float(np.linalg.norm(hr_flow[inside] - sr_flow[inside], axis=-1).mean(dtype=np.float64))


def farneback(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Estimate the flow from one grey 8-bit frame (H, W) to the next as TecoGAN does: (H, W, 2) in pixels."""
    import cv2

    settings = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}
    initial: Any = None  # no flow to begin with, which OpenCV's annotations don't allow
    return cv2.calcOpticalFlowFarneback(previous, current, initial, **settings, flags=0)  # type: ignore[call-overload]
