"""Animated GIF, WebP, AVIF and PNG files as frames, read by Pillow."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.formats.pillow_image import FORMATS
from sr_experiments.data.image_files import unreadable
from sr_experiments.video.colour import BT709, LIMITED_RANGE

EXTENSIONS = (".gif", ".webp", ".avif", ".png", ".apng")
_SHORTEST = 10  # ms; browsers show frames of up to this for 100 ms, since many files say 0 for "soon"
_USUAL = 100  # ms


class AnimationSource:
    """The frames of an animated image, with 8 bits per channel; attributes as of `VideoSource`.

    Raises:
        UnreadableImage: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        from av import VideoFrame

        self.path = path
        times, self.alpha = [0], False
        try:
            with Image.open(path, formats=FORMATS) as image:
                self.size = image.size
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    image.load()
                    shown = round(image.info.get("duration", 0))
                    times.append(times[-1] + (shown if shown > _SHORTEST else _USUAL))
                    self.alpha |= image.has_transparency_data
        except Exception as error:  # a damaged file can fail anywhere in a decoder
            raise unreadable(path, error) from error
        self.stamps: Sequence[int] = times[:-1]
        self.time_base = Fraction(1, 1000)
        self.rate = Fraction(len(self.stamps) * 1000, times[-1])
        self.aspect: Fraction | None = None
        self.matrix: Sequence[int] | None = None
        self.codec: str | None = None
        self.on_its_side = False
        self.notes: list[str] = []
        # As in `FolderSource`: a blank frame that stands for the format of the input.
        width, height = self.size
        self.first: Any = VideoFrame(width, height, "yuva420p" if self.alpha else "yuv420p")
        self.first.colorspace = self.first.color_primaries = self.first.color_trc = BT709
        self.first.color_range = LIMITED_RANGE

    def __len__(self) -> int:
        return len(self.stamps)

    def frames(self, start: int = 0, end: int | None = None, alpha: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """Yield numbers and RGB pixels (H, W, 3), with `alpha` RGBA (H, W, 4), of frames `start` to `end` - 1, uint8.

        Raises:
            UnreadableImage: a frame is damaged.
        """
        try:
            with Image.open(self.path, formats=FORMATS) as image:
                for number in range(start, len(self) if end is None else end):
                    image.seek(number)
                    yield number, np.array(image.convert("RGBA"))[..., : 4 if alpha else 3]
        except (OSError, EOFError, ValueError, SyntaxError) as error:
            raise unreadable(self.path, error) from error


def is_animated(path: Path) -> bool:
    """Return whether a file is an animated image: of several pictures."""
    if path.suffix.lower() not in EXTENSIONS:
        return False
    try:
        with Image.open(path, formats=FORMATS) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # what it is will be said where it is read
        return False
