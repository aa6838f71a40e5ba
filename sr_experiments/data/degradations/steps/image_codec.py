"""Compression of single images as files of the web are: JPEG, WebP and AVIF, by the real encoders."""

import io
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from PIL import Image, features

from sr_experiments.config.constraints import Choices, Interval
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.compression import Encoded
from sr_experiments.data.degradations.steps.step import Parameters
from sr_experiments.errors import SRError

Format = Literal["jpeg", "webp", "avif"]

# Of Pillow's encoders; all three halve the resolution of colour. AVIF in one thread, whose bits depend on no machine.
OPTIONS: dict[Format, dict[str, Any]] = {
    "jpeg": {},
    "webp": {"method": 4},
    "avif": {"speed": 8, "max_threads": 1},
}
MODULES: dict[Format, str] = {"jpeg": "jpg", "webp": "webp", "avif": "avif"}


@STEPS.register("image_codec")
@dataclass
class ImageCodec(Encoded):
    """Step that compresses each image, or each frame by itself, in one of several formats and decompresses it.

    Args:
        formats: weights of the choice: jpeg, webp (lossy), avif.
        quality: range of the quality of the format's encoder, 1 to 100, as in Pillow; whole numbers are drawn. They are
            no common scale: AVIF and WebP look better than JPEG of the same number.

    Raises:
        SRError: this build of Pillow lacks a format that may be drawn.
    """

    formats: Choices[Format]
    quality: Interval[Annotated[float, Ge(1), Le(100)]]

    def __post_init__(self) -> None:
        for name in self._names():
            if not features.check(MODULES[name]):
                raise SRError(f"this build of Pillow has no {name}: leave it out of the formats of step image_codec")

    def _names(self) -> list[Format]:
        return [name for name in OPTIONS if self.formats.get(name, 0) > 0]

    def _draw(self, clips: int, generator: Any) -> Parameters:
        chosen = draw.choose(clips, draw.weights(self.formats, self._names()), generator)
        return {"format": chosen, "quality": draw.uniform(clips, self.quality, generator).round()}

    def _compressed(self, clip: np.ndarray, drawn: Parameters) -> np.ndarray:
        name = self._names()[int(drawn["format"])]
        return np.stack([compress_image(frame, name, int(drawn["quality"])) for frame in clip])

    def _label(self, drawn: Parameters) -> str:
        return f"{self._names()[int(drawn['format'])]} {drawn['quality']:.0f}"


def compress_image(image: np.ndarray, name: Format, quality: int) -> np.ndarray:
    """Return an image (H, W, 3), uint8, compressed and decompressed."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, name, quality=quality, **OPTIONS[name])
    with Image.open(file) as decoded:
        return np.asarray(decoded.convert("RGB"))
