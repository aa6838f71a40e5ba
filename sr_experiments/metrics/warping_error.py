"""Warping error (Lai et al. 2018, "Learning Blind Video Temporal Consistency", arXiv 1808.00449, E_warp): flicker."""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from sr_experiments.errors import SRError
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.temporal import TemporalMetric, to_grey, to_uint8

SMALLEST = 8  # pixels a side; OpenCV's DIS flow refuses smaller frames


class _Frame(NamedTuple):
    sr: np.ndarray  # (H, W, C) float32 in [0, 1], 255ths
    hr: np.ndarray  # (H, W) uint8, grey


@METRICS.register("warping_error")
class WarpingError(TemporalMetric):
    """1000 times the MSE between an SR frame and the previous one, warped to it by the flow of the HR frames.

    Pixels that can't be followed are left out: those from outside the frame, occluded ones and motion boundaries.
    Every pair of frames of a clip counts, unless no pixel of it can be followed. The flow is OpenCV's DIS, preset
    medium, where Lai et al. have FlowNet2's, so values compare with others of this metric only. DIS differs between
    OpenCV 4 and 5, by up to a few per cent of the metric: the convention names the version.

    Args:
        crop_border: pixels cut from each side before averaging; flow and warping see whole frames.
    """

    requirement = " whose motion can be followed"

    def __init__(self, crop_border: int = 0) -> None:
        import cv2

        super().__init__(crop_border)
        version = ".".join(cv2.__version__.split(".")[:2])  # DIS differs between 4 and 5 by thousandths of a pixel
        self.convention = (
            f"warping error x 1000 (MSE, DIS flow of HR, OpenCV {version}, preset medium, grey 8-bit; without "
            f"occlusions and motion boundaries after Ruder et al. 2016; 8-bit SR in [0, 1], "
            f"crop {crop_border}, mean over pairs)"
        )

    def frame(self, sr: Tensor, hr: Tensor) -> _Frame:
        """Return SR in colour, HR in grey.

        Raises:
            SRError: the frame is too small for the flow, or nothing is left within the border.
        """
        height, width = hr.shape[-2:]
        least = max(SMALLEST, 2 * self.crop_border + 1)
        if min(height, width) < least:
            raise SRError(f"a frame of {width}x{height} is too small for the warping error: it needs {least}x{least}")
        return _Frame(to_uint8(sr).astype(np.float32) / 255, to_grey(hr))

    def pair(self, previous: _Frame, current: _Frame) -> float | None:
        """Return 1000 times the mean squared difference over the pixels that can be followed, or None."""
        import cv2

        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        initial: Any = None  # no flow to begin with, which OpenCV's annotations don't allow
        flow = estimator.calc(current.hr, previous.hr, initial)
        flow_back = estimator.calc(previous.hr, current.hr, initial)
        followed = inside(flow) & ~occluded(flow, warp(flow_back, flow)) & ~motion_boundary(flow)
        difference = current.sr - warp(previous.sr, flow).reshape(current.sr.shape)
        b = self.crop_border
        within = slice(b, flow.shape[0] - b), slice(b, flow.shape[1] - b)
        values = difference[within][followed[within]]  # (pixels, C)
        return 1000 * float(np.square(values).mean(dtype=np.float64)) if len(values) else None


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Sample `image` (H, W, C) bilinearly where `flow` (H, W, 2) points, (dx, dy) in pixels; edges are repeated.

    OpenCV's remap rounds positions to 1/32 pixel before version 5.
    """
    height, width = flow.shape[:2]
    x, y = (np.clip(at, 0, side - 1) for at, side in zip(sampled_at(flow), (width, height), strict=True))
    left, top = np.minimum(x.astype(np.intp), width - 2), np.minimum(y.astype(np.intp), height - 2)
    right, down = (x - left)[..., None].astype(np.float32), (y - top)[..., None].astype(np.float32)  # shares, (H, W, 1)
    upper = image[top, left] * (1 - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def sampled_at(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates x and y, (H, W) each, where `flow` (H, W, 2) points."""
    rows, columns = (np.arange(side, dtype=np.float32) for side in flow.shape[:2])
    return flow[..., 0] + columns, flow[..., 1] + rows[:, None]


def inside(flow: np.ndarray) -> np.ndarray:
    """Mark where `flow` (H, W, 2) points into the frame: (H, W) of bool."""
    x, y = sampled_at(flow)
    return (x >= 0) & (x <= flow.shape[1] - 1) & (y >= 0) & (y <= flow.shape[0] - 1)


def occluded(flow: np.ndarray, returning: np.ndarray) -> np.ndarray:
    """Mark where following the flow there and back misses the start (Ruder et al. 2016, arXiv 1604.08610).

    `flow` goes from this frame to the other; `returning` goes back, sampled where `flow` points. (H, W, 2) each.
    """
    lengths = np.square(flow).sum(-1) + np.square(returning).sum(-1)
    return np.square(flow + returning).sum(-1) > 0.01 * lengths + 0.5


def motion_boundary(flow: np.ndarray) -> np.ndarray:
    """Mark where `flow` (H, W, 2) changes abruptly (Ruder et al. 2016), by forward differences: (H, W) of bool."""
    gradient = np.zeros(flow.shape[:2], np.float32)
    gradient[:, :-1] += np.square(np.diff(flow, axis=1)).sum(-1)
    gradient[:-1] += np.square(np.diff(flow, axis=0)).sum(-1)
    return gradient > 0.01 * np.square(flow).sum(-1) + 0.002
