"""Random training crops, each a pure function of (seed, sample number)."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.data.held_out import ValShare, held_out
from sr_experiments.data.image_files import Size, UnreadableImage, result_or_error
from sr_experiments.errors import SRError


class TrainingSet(Dataset[dict[str, Tensor]]):
    """Base of training data, whose samples are defined for every n >= 0 and depend only on n and the arguments.

    Args:
        paths: paths of the images or clips, for messages.
        crop, scale, seed: the settings of the run of these names; `crop` is a multiple of `scale`.
        on_error: "stop" at an image that can't be read, or "skip" to the next one in the permutation.
        augment: rotate and flip crops at random; all eight orientations are equally likely.
    """

    in_memory: ClassVar[bool] = False  # whether the images are in memory, so that worker processes would not help
    phase: str = "centred"  # of the LR pixels of pairs, see `Degradation`; set by the run
    origin: str = ""  # file of the last item

    def __init__(
        self,
        paths: Sequence[Path],
        crop: int,
        scale: int,
        seed: int = 0,
        on_error: str = "stop",
        augment: bool = True,
    ) -> None:
        self.paths = list(paths)
        self.crop = crop
        self.scale = scale
        self.seed = seed
        self.on_error = on_error
        self.augment = augment


class TrainingCrops(TrainingSet):
    """Random crops of a list of images; subclasses implement `load`.

    Each pass over the images is a new permutation; crop position and orientation are drawn per sample.

    A sample is `{"hr": (C, crop, crop) of uint8, uint16 or float32, "skipped": int64 ()}`, with paired data also
    `"lr": (C, crop / scale, crop / scale)`. `skipped` is the index in `paths` of an unreadable image that this
    sample replaces, or -1.
    """

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read image number `index` as `{"hr": (H, W, C)}` of uint8, uint16 or float32, with `"lr"` for paired data.

        Raises:
            UnreadableImage: a file can't be read.
        """
        raise NotImplementedError

    def candidates(self, n: int) -> range:
        """Return the indices of the images that sample n can be a crop of: all of them."""
        return range(len(self.paths))

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Return sample number n.

        Raises:
            UnreadableImage: with on_error="stop", the image of the sample can't be read.
            SRError: with on_error="skip", no image can be read.
        """
        images, skipped = self._load_readable(n)
        rng = np.random.default_rng((self.seed, n))
        # Paired crops start at whole LR pixels, others anywhere.
        grid = self.scale if "lr" in images else 1
        height, width, _ = (images["lr"] if "lr" in images else images["hr"]).shape
        top = grid * int(rng.integers(height - self.crop // grid + 1))
        left = grid * int(rng.integers(width - self.crop // grid + 1))
        orientation = int(rng.integers(8)) if self.augment else 0
        earlier = (0, 0)
        if "lr" in images:
            side = self.crop // grid
            orientation, earlier = turned(self.phase, grid, orientation, (height - side, width - side))
            top, left = (max(start, grid * bool(pixels)) for start, pixels in zip((top, left), earlier, strict=True))
        hr = cut(images["hr"], top - earlier[0], left - earlier[1], self.crop, orientation)
        sample = {"hr": hr, "skipped": torch.tensor(skipped)}
        if "lr" in images:
            sample["lr"] = cut(images["lr"], top // grid, left // grid, self.crop // grid, orientation)
        return sample

    def choose_held_out(self, share: ValShare, root: Path) -> tuple[list[int], str]:
        """Choose a share of the images for validation, of those that can be read; return which, also in words."""
        names = [path.relative_to(root).as_posix() for path in self.paths]
        chosen = held_out(names, share, "images")
        if self.on_error == "skip":
            chosen = [index for index in chosen if not isinstance(result_or_error(self.load, index), UnreadableImage)]
        if not chosen:
            return [], f"{len(names)} image{'s' * (len(names) > 1)}"
        return chosen, f"{len(chosen)} of {len(names)} images: {first_few([names[index] for index in chosen])}"

    def check_sizes(self, sizes: Sequence[Size]) -> None:
        """Stop before training at images that are smaller than the crop or whose header can't be read.

        Args:
            sizes: (height, width) of the HR images, in the order of `paths`.

        Raises:
            SRError: there are such images; names the first few.
        """
        unreadable = [size for size in sizes if isinstance(size, UnreadableImage)]
        if unreadable and (self.on_error == "stop" or len(unreadable) == len(sizes)):
            rest = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
            hint = ", or skip such files with data.train.on_error=skip" if self.on_error == "stop" else ""
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

    def _load_readable(self, n: int) -> tuple[dict[str, np.ndarray], int]:
        """Return the images of sample n, and the index of the unreadable image they replace or -1."""
        candidates = self.candidates(n)
        count = len(candidates)
        order = permutation(self.seed, n // count, count)
        first = candidates[order[n % count]]
        for offset in range(count):
            index = candidates[order[(n + offset) % count]]
            try:
                images = self.load(index)
                self.origin = str(self.paths[index])
                return images, first if offset else -1
            except UnreadableImage:
                if self.on_error == "stop":
                    raise
        raise SRError(f"none of the {count} images can be read; the first is {self.paths[candidates[0]]}")


def first_few(problems: Sequence[str], shown: int = 5) -> str:
    """Join the first problems into one line, followed by the number of the others."""
    rest = f"; and {len(problems) - shown} more" if len(problems) > shown else ""
    return "; ".join(problems[:shown]) + rest


@lru_cache(maxsize=4)  # four, since a batch can span two passes, of two sources
def permutation(seed: int, number: int, count: int) -> np.ndarray:
    """Return the order of `count` images, or windows, in pass `number`."""
    return np.random.default_rng((seed, number)).permutation(count)


def turned(phase: str, scale: int, orientation: int, room: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Return the orientation for a pair, and by how many pixels its HR begins above and left of the squares of its LR.

    With the phase "corner" LR pixel i lies on HR pixel scale * i. In a mirrored pair it does so if HR begins scale - 1
    pixels earlier. That takes an LR pixel of `room`, rows and columns that are not in the crop; without it a pair is
    not mirrored.
    """
    if phase != "corner":
        return orientation, (0, 0)
    for mirrored, free in zip((2, 1), room, strict=True):
        if not free and scale > 1:
            orientation &= ~mirrored
    return orientation, ((scale - 1) * (orientation >> 1 & 1), (scale - 1) * (orientation & 1))


def cut(image: np.ndarray, top: int, left: int, side: int, orientation: int) -> Tensor:
    """Crop (H, W, C) to a tensor (C, side, side), in one of the eight orientations of a square."""
    crop = image[top : top + side, left : left + side]
    if orientation & 1:
        crop = crop[:, ::-1]
    if orientation & 2:
        crop = crop[::-1]
    if orientation & 4:
        crop = crop.transpose(1, 0, 2)
    # One copy at the end: until here everything is a view, so of a pack only the pixels of the crop are read.
    return torch.from_numpy(np.array(crop.transpose(2, 0, 1), order="C"))  # (C, side, side)
