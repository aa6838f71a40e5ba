"""What the metrics of clips share: frames one by one in order, the mean over pairs of consecutive frames."""

from collections import deque
from typing import Any

import numpy as np
from torch import Tensor

from sr_experiments.errors import SRError
from sr_experiments.metrics.metric import SRMetric


class TemporalMetric(SRMetric):
    """Mean over all counted pairs of consecutive frames of all clips.

    Under DDP all frames of a clip must come to one process. Call `start_clip()` before the first frame of each clip,
    then `update(sr, hr)` once a frame. Only what the next frame needs is kept, so a clip may be of any length.

    A subclass gives `frame` and `pair`.

    Args:
        crop_border: pixels cut from each side, where the metric's definition has no cropping of its own.
    """

    temporal = True
    higher_is_better = False
    skipped: int = 0  # frames left out at either end of a clip
    requirement: str = ""  # what else a clip needs; ends the message of a clip without a value

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__()
        self.crop_border = crop_border
        self.start_clip()

    def frame(self, sr: Tensor, hr: Tensor) -> Any:
        """Return what the pairs need of one frame: (C, H, W) in [0, 1] twice to anything."""
        raise NotImplementedError

    def pair(self, previous: Any, current: Any) -> float | Tensor | None:
        """Return the value of two consecutive frames, or None where there is nothing to measure."""
        raise NotImplementedError

    def start_clip(self) -> None:
        """Forget the frames so far: the next one is the first of a clip."""
        self._frames_seen = 0
        self._previous: Any = None
        self._pending: deque[float | Tensor | None] = deque()

    def update(self, sr: Tensor, hr: Tensor) -> None:
        """Add the next frame of the clip: (1, C, H, W) in [0, 1], C of 3 or 1."""
        self._frames_seen += 1
        if self._frames_seen <= self.skipped:
            return
        [sr_frame], [hr_frame] = sr, hr
        current = self.frame(sr_frame, hr_frame)
        if self._previous is not None:
            # A value counts once `skipped` further frames have come: those of a clip's last frames never do.
            self._pending.append(self.pair(self._previous, current))
            if len(self._pending) > self.skipped:
                value = self._pending.popleft()
                if value is not None:
                    self.total += value
                    self.count += 1
        self._previous = current

    def compute(self) -> Tensor:
        """Return the mean over all counted pairs.

        Raises:
            SRError: there is none.
        """
        if self.count == 0:
            need = f"clips need at least {2 + 2 * self.skipped} frames{self.requirement}"
            raise SRError(f"{type(self).__name__} found no pair of frames to measure: {need}")
        return super().compute()

    def reset(self) -> None:
        """Forget all clips."""
        super().reset()
        self.start_clip()


def to_uint8(image: Tensor) -> np.ndarray:
    """Round to the 8 bits of a file: (C, H, W) in [0, 1] to (H, W, C)."""
    levels = image.float().clamp(0, 1).mul(255).round().byte()
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())


def to_grey(image: Tensor) -> np.ndarray:
    """Convert to OpenCV's 8-bit grey: (3 or 1, H, W) in [0, 1] to (H, W)."""
    import cv2

    levels = to_uint8(image)
    return cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY) if levels.shape[2] == 3 else levels[..., 0]


def crop_8x8(height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns that TecoGAN measures: the largest multiples of 32 that leave 16 pixels, centred.

    Raises:
        SRError: nothing would be left.
    """
    if min(height, width) < 48:
        raise SRError(f"tOF and tLP100 need frames of at least 48x48 pixels: {width}x{height} is too small")
    rows, columns = ((size - 16) // 32 * 32 for size in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)
