"""How rows or columns of a picture lie in the enlarged picture, for metadata that counts them."""

from typing import NamedTuple

import numpy as np


class Axis(NamedTuple):
    """How rows or columns lie in the output: an edge at x, counted in pixels, becomes factor * x + offset."""

    factor: float
    offset: float = 0.0

    def sources(self, before: int, after: int) -> np.ndarray:
        """Return for each of the rows or columns `after` the one of those `before` in which its centre lies."""
        places = np.floor((np.arange(after) + 0.5 - self.offset) / self.factor)
        return places.clip(0, before - 1).astype(np.int64)
