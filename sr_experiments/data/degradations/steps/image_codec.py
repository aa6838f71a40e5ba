"""Compression of single images as on the web: JPEG, WebP and AVIF, with the real encoders."""

import io
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from PIL import Image, features

from sr_experiments.config.constraints import Choices, Interval
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.clip_step import ClipStep
from sr_experiments.data.degradations.steps.step import Parameters
from sr_experiments.errors import SRError

Format = Literal["jpeg", "webp", "avif"]

# Options of Pillow's encoders. All three halve the colour resolution. In one thread, AVIF is the same on all machines.
OPTIONS: dict[Format, dict[str, Any]] = {
    "jpeg": {},
    "webp": {"method": 4},
    "avif": {"speed": 8, "max_threads": 1},
}
MODULES: dict[Format, str] = {"jpeg": "jpg", "webp": "webp", "avif": "avif"}


@STEPS.register("image_codec")
@dataclass
class ImageCodec(ClipStep):
    """Step that compresses and decompresses each image, or each frame of a clip, in a random format.

    Args:
        formats: weights of the random choice between jpeg, webp (lossy) and avif.
        quality: range of the encoder's quality, 1 to 100, as in Pillow; integers are drawn. Formats are not comparable:
            AVIF and WebP look better than JPEG of the same quality.

    Raises:
        SRError: Pillow was built without one of the formats.
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

    def _processed(self, clip: np.ndarray, drawn: Parameters) -> np.ndarray:
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
