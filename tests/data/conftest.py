from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_experiments.data.degradations.steps.canvas import Canvas

SaveImage = Callable[..., np.ndarray]


@pytest.fixture
def save_image() -> SaveImage:
    """Write an RGB image of noise and return its pixels."""

    def save(path: Path, height: int = 40, width: int = 48, seed: int = 0, low: int = 0, high: int = 256) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(low, high, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return pixels

    return save


@pytest.fixture(params=["one by one", "tensors"])
def each_path(request, monkeypatch):
    """What a CPU does with OpenCV, and what a GPU does."""
    monkeypatch.setattr(Canvas, "per_image", request.param == "one by one")
