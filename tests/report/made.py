"""Parts of runs written by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

STARTED = 1_700_000_000.0  # of each run; one value every ten seconds


def config_of(name: str = "tiny", features: int = 8, learning_rate: float = 1e-3, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "model": {"name": "msrresnet", "features": features},
        "optim": {"learning_rate": learning_rate},
        "trainer": {"max_steps": 100},
        "seed": 0,
        **more,
    }


def rows_of(metrics: Mapping[str, Sequence[float]], every: int = 10) -> list[list[str]]:
    return [
        [str((i + 1) * every), f"{STARTED + 10 * i:.3f}", metric, repr(float(value))]
        for metric, values in metrics.items()
        for i, value in enumerate(values)
    ]


def picture(seed: int, side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))
