"""How LR of a pair is shifted and brightened against HR, and a pair without either.

LR is compared with HR after antialiased bicubic reduction, by phase correlation (Guizar-Sicairos et al., "Efficient
subpixel image registration algorithms", 2008). As in RealSR (Cai et al., 2019), HR is fitted to LR, which stays what a
network will see.
"""

from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from sr_experiments.data.resize import imresize
from sr_experiments.errors import SRError

ROUNDS = 5  # of estimates, each of what the one before left; one alone is good to 0.1 LR pixels
SMALLEST = 48  # LR pixels of a side whose quarters can be measured
MOST_APART = 0.25  # LR pixels between a quarter and the whole
LEAST_CORRELATION = 0.8
LEAST_DETAIL = 2.0  # standard deviation, in levels of 255, of what can be measured
WHOLE = 0.1  # HR pixels from a whole number, below which pixels are moved and not interpolated
TOO_LITTLE = "there is too little detail to measure a shift"
GAINS = (0.5, 2.0)
NO_GAIN = 0.01  # difference from 1 that is not corrected


class Pair(NamedTuple):
    """An aligned pair: HR (scale * H, scale * W, C) and LR (H, W, C), uint8, and what was between them.

    `shift` is (dx, dy) of LR against HR, in LR pixels; LR was `gain` times as bright.
    """

    hr: np.ndarray
    lr: np.ndarray
    shift: tuple[float, float]
    gain: float


def align(hr: np.ndarray, lr: np.ndarray, scale: int) -> Pair:
    """Shift and brighten HR so that it fits LR, and crop from both what the shift leaves empty.

    Args:
        hr: uint8 (H, W, C).
        lr: uint8, about `scale` times smaller; both begin at the same corner, but for the shift.
        scale: their ratio.

    Raises:
        SRError: they can't be aligned by a shift and a gain; the message is a clause that says why.
    """
    height, width = (min(large // scale, small) for large, small in zip(hr.shape[:2], lr.shape[:2], strict=True))
    if min(height, width) < SMALLEST:
        raise SRError(f"LR has to be {SMALLEST} pixels high and wide to be measured")
    hr, lr = hr[: height * scale, : width * scale], lr[:height, :width]
    whole = reduced(hr, scale)
    if min(whole.std(), lr.std()) < LEAST_DETAIL:
        raise SRError(TOO_LITTLE)
    dx, dy = _refined_shift(whole, lr)
    moved, borders = _moved(hr, (dx * scale, dy * scale), scale)
    if 2 * borders[0] > height // 2 or 2 * borders[1] > width // 2:
        raise SRError(f"no shift fits, the best being ({dx:+.1f}, {dy:+.1f}) LR pixels: other content?")
    top, left = borders
    moved = moved[top * scale : (height - top) * scale, left * scale : (width - left) * scale]
    lr = lr[top : height - top, left : width - left]
    small = reduced(moved, scale)
    gain = _gain(small, lr)
    _check(small, lr, gain)
    if abs(gain - 1) >= NO_GAIN:
        moved = moved * gain
    fitted = np.clip(np.rint(moved), 0, 255).astype(np.uint8)
    return Pair(fitted, np.ascontiguousarray(lr), (dx, dy), gain)


def reduced(hr: np.ndarray, scale: int) -> np.ndarray:
    """Reduce HR (H, W, C) by antialiased bicubic interpolation; return float64 in levels of 255."""
    image = torch.from_numpy(np.array(hr)).permute(2, 0, 1)[None].float() / 255
    return (imresize(image, Fraction(1, scale))[0].permute(1, 2, 0).numpy() * 255).astype(np.float64)


def measured_shift(lr: np.ndarray, small: np.ndarray) -> tuple[float, float]:
    """Measure the shift (dx, dy) of LR against the reduced HR, both (H, W, C), to 0.1 pixels."""
    (dy, dx), _, _ = phase_cross_correlation(_windowed(lr), _windowed(small), upsample_factor=50, normalization=None)
    return float(dx), float(dy)


def _windowed(image: np.ndarray) -> np.ndarray:
    """Return the grey image, (H, W), without its mean and windowed: the border would dominate the phase correlation."""
    grey = image.astype(np.float64).mean(2)
    return (grey - grey.mean()) * np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])


def _refined_shift(small: np.ndarray, lr: np.ndarray) -> tuple[float, float]:
    """Measure the shift again after moving HR by what was found, until nothing is left."""
    dx = dy = 0.0
    for _ in range(ROUNDS):
        moved = ndimage.shift(small, (dy, dx, 0), order=3, mode="nearest")
        rows, columns = (min(ceil(abs(d)), side // 4) for d, side in zip((dy, dx), lr.shape, strict=False))
        inside = np.s_[rows : lr.shape[0] - rows, columns : lr.shape[1] - columns]
        more_x, more_y = measured_shift(lr[inside], moved[inside])
        dx, dy = dx + more_x, dy + more_y
        if max(abs(more_x), abs(more_y)) < 0.01:
            break
    return dx, dy


def _moved(hr: np.ndarray, shift: tuple[float, float], scale: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Move HR by (dx, dy) HR pixels; return it, and how many LR pixels at the top and left have to be cropped."""
    dx, dy = shift
    whole = max(abs(dx - round(dx)), abs(dy - round(dy))) < WHOLE
    if whole:
        moved = np.roll(hr, (round(dy), round(dx)), (0, 1))
    else:
        moved = ndimage.shift(hr.astype(np.float32), (dy, dx, 0), order=3, mode="nearest")
    # The ends of an interpolated row depend on what is repeated beyond it.
    top, left = (ceil(abs(round(d) if whole else d) / scale) + (0 if whole else 2) for d in (dy, dx))
    return moved, (top, left)


def _gain(small: np.ndarray, lr: np.ndarray) -> float:
    """Fit LR = gain * HR where neither is clipped."""
    seen = (lr > 4) & (lr < 251) & (small > 4) & (small < 251)
    large = small[seen]
    return float(lr[seen] @ large / max(large @ large, 1e-9))


def _check(small: np.ndarray, lr: np.ndarray, gain: float) -> None:
    """Check that the whole and its quarters fit.

    Raises:
        SRError: they don't.
    """
    if not GAINS[0] <= gain <= GAINS[1]:
        raise SRError(f"LR is {gain:.2f} times as bright as HR: other content?")
    deviations = small.std(), lr.std()
    centred = (small - small.mean()) * (lr - lr.mean())
    correlation = float(centred.mean() / max(deviations[0] * deviations[1], 1e-9))
    if correlation < LEAST_CORRELATION:
        raise SRError(f"LR and HR differ, with a correlation of {correlation:.2f}: rotated, or other content?")
    middle, centre = lr.shape[0] // 2, lr.shape[1] // 2
    quarters = [
        np.s_[rows, columns]
        for rows in (np.s_[:middle], np.s_[middle:])
        for columns in (np.s_[:centre], np.s_[centre:])
    ]
    detailed = [part for part in quarters if min(small[part].std(), lr[part].std()) >= LEAST_DETAIL]
    if len(detailed) < 2:
        raise SRError(TOO_LITTLE)
    apart = max(max(map(abs, measured_shift(lr[part], small[part]))) for part in detailed)
    if apart > MOST_APART:
        raise SRError(f"its parts are shifted differently, by up to {apart:.1f} LR pixels: rotated, or another zoom?")
