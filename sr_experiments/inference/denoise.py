"""Noise removal before upscaling, by FFmpeg's fftdnoiz: a Wiener filter of blocks in the frequency domain."""

from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from sr_experiments.video.filters import one_filter

_BLOCK = 32  # pixels, side of fftdnoiz' blocks
_STEP = 16  # pixels from one block to the next
# Places of the blocks, of which the mean is taken: where blocks meet, fftdnoiz leaves seams.
_SHIFTS = ((0, 0), (4, 12), (8, 4), (12, 8))
_SIGMA_PER_NOISE = 2.5  # its sigma that is best for Gaussian noise of standard deviation 1


class Denoiser:
    """Removes noise from images and frames.

    Args:
        level: standard deviation of the noise, in levels of 255.
    """

    def __init__(self, level: float) -> None:
        self.level = level
        self._key: tuple[int, int, str] | None = None
        self._graph: Any = None
        self._count = 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return an image without noise: uint8 or uint16 (H, W, C), RGB, or bands that are cleaned by themselves."""
        if image.shape[2] == 3:
            return self._cleaned(image)
        return np.dstack([self._cleaned(image[..., band, None]) for band in range(image.shape[2])])

    def _cleaned(self, image: np.ndarray) -> np.ndarray:
        # At the borders of what it is given, fftdnoiz leaves a pattern, which is another one each time.
        height, width = image.shape[:2]
        border = _BLOCK + _STEP
        padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT)
        total = np.full(image.shape, len(_SHIFTS) // 2, np.uint32)  # rounds
        for y, x in _SHIFTS:
            part = padded[y : y + height + border + _BLOCK, x : x + width + border + _BLOCK]
            total += self._filtered(part.reshape(*part.shape[:2], -1))[border - y :, border - x :][:height, :width]
        return (total // len(_SHIFTS)).astype(image.dtype)

    def _filtered(self, image: np.ndarray) -> np.ndarray:
        """Return what fftdnoiz makes of an image (H, W, C), grey or RGB; its first block starts at the top left."""
        from av import VideoFrame

        planes = cv2.split(image) if image.shape[2] == 3 else (image[..., 0],)
        pix_fmt = ("gbrp" if len(planes) == 3 else "gray") + ("16le" if image.dtype == np.uint16 else "")
        height, width = image.shape[:2]
        if self._key != (height, width, pix_fmt):
            options = f"sigma={self.level * _SIGMA_PER_NOISE}:block={_BLOCK}"
            self._graph = one_filter(width, height, pix_fmt, Fraction(1, 25), "fftdnoiz", options)
            self._key = (height, width, pix_fmt)
        frame: Any = VideoFrame(width, height, pix_fmt)
        self._count += 1
        frame.pts = self._count
        order = (1, 2, 0) if len(planes) == 3 else (0,)  # planes are green, blue, red
        for number, channel in enumerate(order):
            rows = np.zeros((height, frame.planes[number].line_size // image.itemsize), image.dtype)
            rows[:, :width] = planes[channel]
            frame.planes[number].update(rows)
        self._graph.push(frame)
        made = self._graph.pull()
        clean = np.empty_like(image)
        for number, channel in enumerate(order):
            clean[..., channel] = np.frombuffer(made.planes[number], image.dtype).reshape(height, -1)[:, :width]
        return clean
