"""The size that a user wants of a picture, and how the network's output gets it, after noise was removed if wanted.

The network enlarges by its own scale, as often as the wanted size needs; what it made is then reduced by MATLAB's
antialiased bicubic `imresize`, on the values as they are stored, as LR of published benchmarks is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sr_experiments.data.cubic import resize_pixels
from sr_experiments.data.formats.axis import Axis
from sr_experiments.errors import SRError
from sr_experiments.inference.denoise import Denoiser
from sr_experiments.inference.image_engine import ImageEngine
from sr_experiments.inference.memory import free_on_host
from sr_experiments.inference.options import Options

MOST_PASSES = 3  # of the network over one picture
_PIXEL_BYTES = 6  # of 16 bits in RGB


@dataclass(frozen=True)
class WantedSize:
    """The size that was asked for; all None: the network's own.

    Attributes:
        scale: factor to the input.
        width: in pixels; with `height`, the largest size that fits into both.
        height: in pixels.
        longest: the longer side, in pixels.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    longest: int | None = None

    @classmethod
    def of(cls, options: Options) -> "WantedSize":
        """Return the size that the options ask for."""
        return cls(options.scale, options.width, options.height, options.longest)

    @property
    def given(self) -> bool:
        """Whether a size was asked for."""
        return self != WantedSize()

    def turned(self) -> "WantedSize":
        """Return the size of a picture that is stored on its side."""
        return WantedSize(self.scale, self.height, self.width, self.longest)

    def check(self) -> None:
        """Check that one way to give a size was chosen.

        Raises:
            SRError: there are several.
        """
        ways = {"--scale": self.scale, "--longest": self.longest, "--width or --height": self.width or self.height}
        given = [way for way, value in ways.items() if value is not None]
        if len(given) > 1:
            raise SRError(f"{given[0]} and {given[1]} are two ways to give a size: choose one")

    def size(self, height: int, width: int, network_scale: int, step: int = 1) -> tuple[int, int]:
        """Return (height, width) of the output of an input, both multiples of `step` if a size was asked for."""
        if not self.given:
            return height * network_scale, width * network_scale
        limits = [
            Fraction(self.scale).limit_denominator(1000) if self.scale is not None else None,
            Fraction(self.width, width) if self.width is not None else None,
            Fraction(self.height, height) if self.height is not None else None,
            Fraction(self.longest, max(height, width)) if self.longest is not None else None,
        ]
        factor = min(limit for limit in limits if limit is not None)
        tall, wide = (max(int(side * factor / step + Fraction(1, 2)), 1) * step for side in (height, width))
        return tall, wide


class Enlarger:
    """Makes pictures with an engine, at the size and strength that were asked for, of pictures whose noise is removed.

    A strength below 1 mixes each picture with its bicubic enlargement, which is at 0; at scale 1 that is the input.

    Args:
        engine: that runs the network.
        wanted: the size.
        strength: of the network's part, in [0, 1].
        step: sides are multiples of it where a size was asked for: 2 for videos, most of which need even sides.
        denoise: noise to remove first, see `Denoiser`; 0 for none.
    """

    def __init__(
        self,
        engine: ImageEngine,
        wanted: WantedSize | None = None,
        strength: float | None = None,
        step: int = 1,
        denoise: float = 0.0,
    ) -> None:
        self.engine = engine
        self.wanted = wanted or WantedSize()
        self.strength = 1.0 if strength is None else strength
        self.step = step
        self.denoiser = Denoiser(denoise) if denoise else None

    @classmethod
    def of(cls, engine: ImageEngine, options: Options, step: int = 1) -> "Enlarger":
        """Return what makes pictures as the options say."""
        return cls(engine, WantedSize.of(options), options.strength, step, options.denoise)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the output of an input.

        Raises:
            SRError: the network would have to go over it too often, or hands on frames and can't go over it twice, or
                there isn't enough memory for what it makes.
        """
        size = self.wanted.size(height, width, self.engine.scale, self.step)
        passes = self._passes(height, width, size)
        most = 1 if self.engine.recurrent else MOST_PASSES
        if passes > most:
            scale = self.engine.scale
            why = f"this network enlarges by {scale}"
            if scale > 1:
                why += f", {scale**most} at most" + (" in one pass" if self.engine.recurrent else f" in {most} passes")
            raise SRError(f"can't make {size[1]}x{size[0]} of {width}x{height}: {why}; ask for a smaller size")
        tall, wide = (side * self.engine.scale**passes for side in (height, width))
        if passes > 1 and tall * wide * _PIXEL_BYTES > free_on_host():
            raise SRError(
                f"can't make {size[1]}x{size[0]} of {width}x{height}: in {passes} passes the network makes "
                f"{wide}x{tall}, more than there is memory for; ask for a smaller size"
            )
        return size

    def check(self, image: np.ndarray) -> None:
        """Check that an image (H, W, C) can be enlarged.

        Raises:
            SRError: as `size`, or its noise can't be removed.
        """
        self.size(*image.shape[:2])
        if self.denoiser is not None and image.dtype.kind == "f":
            raise SRError("--denoise is for 8 and 16 bits, and these are floating-point numbers: leave it out")

    def __call__(self, image: np.ndarray, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Enlarge one image, uint8, uint16 or float32 (H, W, C); `progress` is as of `ImageEngine.upscale`."""
        return self.batch([image], progress)[0]

    def batch(
        self, images: Sequence[np.ndarray], progress: Callable[[int, int], None] | None = None
    ) -> list[np.ndarray]:
        """Enlarge images of one size and type."""
        images = [self.clean(image) for image in images]
        height, width = images[0].shape[:2]
        size = self.size(height, width)
        passes = self._passes(height, width, size)
        for number in range(passes):
            if progress is None:
                large = self.engine.upscale_batch(images)
            else:
                large = self.engine.upscale_batch(images, _part_of(progress, number, passes))
            images = [self._mixed(sr, lr) for sr, lr in zip(large, images, strict=True)]
        return [resize_pixels(image, size) for image in images]

    def next_frame(self, frame: np.ndarray, *later: np.ndarray) -> np.ndarray:
        """Enlarge the next frame of a clip with a recurrent network, given those after it, all of them `clean`ed."""
        return resize_pixels(self._mixed(self.engine.next_frame(frame, *later), frame), self.size(*frame.shape[:2]))

    def bicubic(self, image: np.ndarray) -> np.ndarray:
        """Enlarge (H, W, C) bicubically to the same size, aligned with what the network makes."""
        height, width = image.shape[:2]
        size = self.size(height, width)
        for _ in range(self._passes(height, width, size)):
            image = self.engine.bicubic(image)
        return resize_pixels(image, size)

    def axes(self, height: int, width: int) -> tuple[Axis, Axis]:
        """Return how the rows and the columns of an input lie in its output."""
        size = self.size(height, width)
        passes = self._passes(height, width, size)
        axes = []
        for before, after in zip((height, width), size, strict=True):
            enlarged = before * self.engine.scale**passes
            # With "corner", the first LR pixel has its centre at that of the first HR pixel.
            offset = (1 - self.engine.scale**passes) / 2 if self.engine.phase == "corner" else 0
            axes.append(Axis(after / before, offset * after / enlarged))
        return axes[0], axes[1]

    def settings(self) -> dict[str, object]:
        """Return what was asked for, for what records how an output is made; empty if that is nothing."""
        asked = {name: value for name, value in vars(self.wanted).items() if value is not None}
        size = {"size": ", ".join(f"--{name} {value}" for name, value in asked.items())} if asked else {}
        strength = {"strength": self.strength} if self.strength < 1 else {}
        return {**size, **strength, **({"denoise": self.denoiser.level} if self.denoiser else {})}

    def _passes(self, height: int, width: int, size: tuple[int, int]) -> int:
        """Return how often the network has to go over an input for this size."""
        passes, scale = 1, self.engine.scale
        while size[0] > height * scale**passes or size[1] > width * scale**passes:
            if scale == 1 or passes > MOST_PASSES:
                return MOST_PASSES + 1
            passes += 1
        return passes

    def clean(self, image: np.ndarray) -> np.ndarray:
        """Remove noise, if that was asked for."""
        return image if self.denoiser is None else self.denoiser(image)

    def _mixed(self, sr: np.ndarray, lr: np.ndarray) -> np.ndarray:
        if self.strength == 1:
            return sr
        smooth = self.engine.bicubic(lr).astype(np.float32)
        mixed = smooth + self.strength * (sr - smooth)
        return mixed if sr.dtype.kind == "f" else np.rint(mixed).astype(sr.dtype)


def _part_of(progress: Callable[[int, int], None], number: int, passes: int) -> Callable[[int, int], None]:
    """Return the progress of one pass, as that of all."""
    return lambda tile, tiles: progress(number * tiles + tile, passes * tiles)
