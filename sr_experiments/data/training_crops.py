"""Random training crops, where each sample is a pure function of (seed, sample number)."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.errors import SRError


class TrainingCrops(Dataset[dict[str, Tensor]]):
    """Crops of a list of images; a subclass says in `load` how to get image i.

    `dataset[n]` is defined for every n >= 0 and depends on nothing but n and the arguments. Each pass over
    the images is a fresh permutation of them; crop and orientation are drawn per sample.

    A sample is `{"hr": uint8 (C, crop, crop), "skipped": int64 ()}`, and with paired data
    `"lr": uint8 (C, crop / scale, crop / scale)`. `skipped` is the index in `paths` of the unreadable image
    that another one stands in for, or -1.

    Args:
        paths: the images, for messages.
        crop: side of the HR crop, a multiple of `scale`.
        scale: upsampling factor.
        seed: of the run.
        on_error: "stop" at an image that can't be read, or "skip" to the next one of the permutation.
        augment: turn and mirror crops at random, all eight ways alike.

    Raises:
        SRError: wrong arguments.
    """

    in_memory: ClassVar[bool] = False  # whether loading costs nothing, so that worker processes wouldn't help
    origin: str = ""  # the file that the last item was cut from

    def __init__(
        self,
        paths: Sequence[Path],
        crop: int,
        scale: int,
        seed: int = 0,
        on_error: str = "stop",
        augment: bool = True,
    ) -> None:
        check_crop(crop, scale, on_error)
        self.paths = list(paths)
        self.crop = crop
        self.scale = scale
        self.seed = seed
        self.on_error = on_error
        self.augment = augment

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Image `index` as `{"hr": uint8 (H, W, C)}`, and `"lr"` where it has one.

        Raises:
            UnreadableImage: a file can't be read.
        """
        raise NotImplementedError

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Sample number n.

        Raises:
            UnreadableImage: with on_error="stop", the sample's image can't be read.
            SRError: with on_error="skip", none can.
        """
        images, skipped = self._readable(n)
        rng = np.random.default_rng((self.seed, n))
        # Paired crops start at whole LR pixels, others anywhere.
        grid = self.scale if "lr" in images else 1
        height, width, _ = (images["lr"] if "lr" in images else images["hr"]).shape
        top = grid * int(rng.integers(height - self.crop // grid + 1))
        left = grid * int(rng.integers(width - self.crop // grid + 1))
        orientation = int(rng.integers(8)) if self.augment else 0
        sample = {"hr": cut(images["hr"], top, left, self.crop, orientation), "skipped": torch.tensor(skipped)}
        if "lr" in images:
            sample["lr"] = cut(images["lr"], top // grid, left // grid, self.crop // grid, orientation)
        return sample

    def check_sizes(self, sizes: Sequence[tuple[int, int] | UnreadableImage]) -> None:
        """Stop before training at images that are smaller than the crop or, by header, not images.

        Args:
            sizes: (height, width) of the HR images, in the order of `paths`.

        Raises:
            SRError: names the first few.
        """
        unreadable = [size for size in sizes if isinstance(size, UnreadableImage)]
        if unreadable and (self.on_error == "stop" or len(unreadable) == len(sizes)):
            rest = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
            hint = ", or pass over such files with data.train.on_error=skip" if self.on_error == "stop" else ""
            raise UnreadableImage(f"{unreadable[0]}{rest}{hint}")
        small = [
            f"{path} is {size[1]}x{size[0]}"
            for path, size in zip(self.paths, sizes, strict=True)
            if not isinstance(size, UnreadableImage) and min(size) < self.crop
        ]
        if small:
            smallest = min(min(size) for size in sizes if not isinstance(size, UnreadableImage))
            fit = smallest // self.scale * self.scale
            raise SRError(
                f"{first_few(small)}: smaller than data.crop={self.crop}; "
                + (f"use data.crop={fit} or less, or " if fit else "")
                + "remove small images"
            )

    def _readable(self, n: int) -> tuple[dict[str, np.ndarray], int]:
        """The images of sample n and the index of the unreadable image they stand in for, or -1."""
        count = len(self.paths)
        order = permutation(self.seed, n // count, count)
        first = int(order[n % count])
        for offset in range(count):
            index = int(order[(n + offset) % count])
            try:
                images = self.load(index)
                self.origin = str(self.paths[index])
                return images, first if offset else -1
            except UnreadableImage:
                if self.on_error == "stop":
                    raise
        raise SRError(f"none of the {count} images can be read; the first is {self.paths[0]}")


def check_crop(crop: int, scale: int, on_error: str = "stop") -> None:
    """Refuse a crop that is no multiple of the scale, and an unknown `on_error`.

    Raises:
        SRError: says what to use.
    """
    if crop < scale or crop % scale:
        raise SRError(f"data.crop={crop} must be a multiple of scale={scale}: use {max(crop // scale, 1) * scale}")
    if on_error not in ("stop", "skip"):
        raise SRError(f"data.train.on_error={on_error!r}: choose stop or skip")


def first_few(problems: Sequence[str], shown: int = 5) -> str:
    """Join the first problems into one line and count the others."""
    rest = f"; and {len(problems) - shown} more" if len(problems) > shown else ""
    return "; ".join(problems[:shown]) + rest


@lru_cache(maxsize=2)  # a batch can reach into the next pass
def permutation(seed: int, number: int, count: int) -> np.ndarray:
    """The order of so many images, or clips, in pass `number`."""
    return np.random.default_rng((seed, number)).permutation(count)


def cut(image: np.ndarray, top: int, left: int, side: int, orientation: int) -> Tensor:
    """Crop (H, W, C) to (C, side, side) in one of the eight orientations of a square."""
    crop = image[top : top + side, left : left + side]
    if orientation & 1:
        crop = crop[:, ::-1]
    if orientation & 2:
        crop = crop[::-1]
    if orientation & 4:
        crop = crop.transpose(1, 0, 2)
    return torch.from_numpy(np.array(crop.transpose(2, 0, 1), order="C"))  # (C, side, side)
