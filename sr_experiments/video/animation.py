"""Animated GIF, WebP, AVIF and PNG files as frames, and the writing of them, by Pillow."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.formats import avif
from sr_experiments.data.formats.pillow_image import FORMATS
from sr_experiments.data.image_files import unreadable
from sr_experiments.video.formats import ANIMATIONS
from sr_experiments.video.part import frames_of_part
from sr_experiments.video.pictures import PictureSource

FOREVER = 0  # times that an animation is shown

_SHORTEST = 10  # ms; browsers show frames of up to this for 100 ms, since many files say 0 for "soon"
_USUAL = 100  # ms
_GIF_STEP = 10  # ms
_SHORTEST_IN_GIF = 20  # ms
_OPAQUE = 128  # from this alpha on, pixels of a GIF are opaque
_TRANSPARENT = 255  # number of a GIF's colour


class AnimationSource(PictureSource):
    """The frames of an animated image.

    Args:
        path: the file.
        start: where the part to use begins, in seconds; its first frame is the first that begins then or later.
        end: where it ends; its last frame is the last that begins before.

    Attributes:
        plays: how often the animation is shown; `FOREVER`, also of AVIF, of which Pillow doesn't tell.
        icc: colour profile, or None.

    Raises:
        UnreadableImage: the file is missing or damaged.
        SRError: the part has no frames.
    """

    def __init__(self, path: Path, start: Fraction | None = None, end: Fraction | None = None) -> None:
        durations, alpha = [], False
        try:
            with Image.open(path, formats=FORMATS) as image:
                if image.format == "GIF" and _is_cut_gif(path):
                    raise ValueError("it is cut short")
                size, self.icc = image.size, image.info.get("icc_profile") or None
                self.plays, notes = _plays(image), _left_out(path, image)
                self._first = int(_has_still(image))
                for number in range(self._first, getattr(image, "n_frames", 1)):
                    image.seek(number)
                    image.load()
                    shown = round(image.info.get("duration", 0))
                    durations.append(shown if shown > _SHORTEST else _USUAL)
                    alpha |= image.has_transparency_data
        except Exception as error:  # a damaged file can fail anywhere in a decoder
            raise unreadable(path, error) from error
        times = [0, *accumulate(durations)]
        self._skipped, behind = 0, len(durations)
        if start is not None or end is not None:
            in_seconds = [Fraction(time, 1000) for time in times]
            self._skipped, behind = frames_of_part(path, in_seconds[:-1], in_seconds[-1], start, end)
            times = [time - times[self._skipped] for time in times[self._skipped : behind + 1]]
        super().__init__(path, size, times[:-1], times[-1], Fraction(1, 1000), alpha, notes)

    def frames(self, start: int = 0, end: int | None = None, alpha: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """Yield numbers and RGB pixels (H, W, 3), with `alpha` RGBA (H, W, 4), of frames `start` to `end` - 1, uint8.

        Raises:
            UnreadableImage: a frame is damaged.
        """
        try:
            with Image.open(self.path, formats=FORMATS) as image:
                for number in range(start, len(self) if end is None else end):
                    image.seek(self._first + self._skipped + number)
                    yield number, np.array(image.convert("RGBA"))[..., : 4 if alpha else 3]
        except (OSError, EOFError, ValueError, SyntaxError) as error:
            raise unreadable(self.path, error) from error


def is_animated(path: Path) -> bool:
    """Return whether a file is an animated image: of several pictures."""
    if path.suffix.lower() not in ANIMATIONS or not path.is_file():  # opening a pipe would wait for its other end
        return False
    try:
        with Image.open(path, formats=FORMATS) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # what it is will be said where it is read
        return False


def write_animation(
    path: Path,
    image_format: str,
    frames: Callable[[int], Iterator[np.ndarray]],
    durations: Sequence[int],
    plays: int,
    alpha: bool,
    quality: int,
    lossless: bool,
    icc: bytes | None,
) -> None:
    """Write an animated image.

    Args:
        path: the file.
        image_format: Pillow's name, one of `ANIMATIONS`.
        frames: gives the frames from a number on, uint8 (H, W, 3) or (H, W, 4).
        durations: of each frame, in ms, as of `frame_durations`.
        plays: how often it is shown.
        alpha: whether frames have an alpha channel.
        quality: of WebP and AVIF, 1 to 100.
        lossless: of WebP.
        icc: colour profile; GIF has none.

    Raises:
        OSError, ValueError: a size that the format doesn't have, or a lack of space.
    """
    options: dict[str, Any] = {"duration": list(durations)}
    if image_format == "GIF":
        # The number of a GIF is that of repetitions, and a GIF without it is shown once.
        options |= {} if plays == 1 else {"loop": max(plays - 1, 0)}
        options |= {"optimize": False} | ({"disposal": 2, "transparency": _TRANSPARENT} if alpha else {})
    elif image_format != "AVIF":
        options["loop"] = plays
    if image_format == "WEBP":
        options |= {"quality": quality, "lossless": lossless, "exact": lossless, "background": (0, 0, 0, 0)}
    elif image_format == "AVIF":
        options |= {"quality": quality, "subsampling": "4:4:4" if quality >= 90 else "4:2:0"}
    if image_format != "GIF" and icc:
        options["icc_profile"] = icc
    images = _Frames(frames, len(durations), _with_palette if image_format == "GIF" else Image.fromarray)
    images.save(path, image_format, save_all=True, **options)


def frame_durations(stamps: Sequence[int], end: int, time_base: Fraction, image_format: str) -> list[int]:
    """Return how long each frame is shown, in ms, as the format can say it; together they are as long as the clip.

    GIF has steps of 10 ms, and browsers show less than 20 ms as 100 ms.
    """
    step = _GIF_STEP if image_format == "GIF" else 1
    least = _SHORTEST_IN_GIF if image_format == "GIF" else 1
    times = [step * round((stamp - stamps[0]) * time_base * 1000 / step) for stamp in (*stamps, end)]
    return [max(after - before, least) for before, after in pairwise(times)]


class _Frames(Image.Image):
    """Frames as one image of several that holds one at a time: of a list, Pillow would hold all."""

    def __init__(
        self, frames: Callable[[int], Iterator[np.ndarray]], count: int, convert: Callable[[np.ndarray], Image.Image]
    ) -> None:
        super().__init__()
        self._frames, self._convert = frames, convert
        self.n_frames, self.is_animated = count, count > 1
        self._number, self._coming = -1, frames(0)
        self.seek(0)

    def seek(self, frame: int) -> None:
        if not 0 <= frame < self.n_frames:
            raise EOFError
        if frame < self._number:
            self._number, self._coming = frame - 1, self._frames(frame)
        while self._number < frame:
            pixels = next(self._coming)
            self._number += 1
            if self._number == frame:
                image = self._convert(pixels)
                self.im, self._mode, self._size = image.im, image.mode, image.size
                self.palette, self.info = image.palette, image.info

    def tell(self) -> int:
        return self._number


def _with_palette(pixels: np.ndarray) -> Image.Image:
    """Return a frame of a GIF: of 256 colours, the last of which is transparent if pixels have alpha."""
    opaque = pixels.shape[2] == 3
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    image = image.quantize(palette=image.quantize(256 if opaque else _TRANSPARENT), dither=Image.Dither.FLOYDSTEINBERG)
    if not opaque:
        levels = np.where(pixels[..., 3] < _OPAQUE, np.uint8(_TRANSPARENT), np.array(image))
        palette = (image.getpalette() or []) + [0] * 768
        image = Image.fromarray(levels).convert("P")
        image.putpalette(palette[:768])
    return image


def _left_out(path: Path, image: Image.Image) -> list[str]:
    """Return notes on what a file holds that its frames don't have."""
    notes = [f"{name.upper()} of {path} left out" for name in ("exif", "xmp") if image.info.get(name)]
    if _has_still(image):
        notes.append(f"the still picture of {path} left out: it is no frame of the animation")
    if image.format == "AVIF":
        with path.open("rb") as file:
            bits, _ = avif.depth_and_colours(file)
        notes += [f"{bits} bits of {path} reduced to 8"] if bits > 8 else []
    return notes


def _has_still(image: Image.Image) -> bool:
    """Return whether Pillow's first frame is a PNG's picture for programs that know no animations."""
    return getattr(image, "default_image", False) is True  # a text of the file may have this name, too


def _is_cut_gif(path: Path) -> bool:
    """Return whether a GIF ends without its trailer: Pillow leaves out what is missing without a word."""
    with path.open("rb") as file:
        head = file.read(13)
        file.seek(3 * 2 ** ((head[10] & 7) + 1) if head[10] & 0x80 else 0, 1)
        while (block := file.read(1)) in (b"\x21", b"\x2c"):
            if block == b"\x21":
                file.seek(1, 1)  # the kind of the extension
            else:
                flags = file.read(9)[-1:]
                file.seek(1 + (3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0), 1)
            while length := file.read(1)[:1]:
                if not length[0]:
                    break
                file.seek(length[0], 1)
    return block == b""


def _plays(image: Image.Image) -> int:
    """Return how often an animation is shown."""
    loop = image.info.get("loop")
    if image.format != "GIF":
        return int(loop or FOREVER)
    return 1 if loop is None else loop + 1 if loop else FOREVER
