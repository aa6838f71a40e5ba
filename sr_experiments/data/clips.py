"""Random clips to train on, each a pure function of (seed, sample number), and whole clips to validate on."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.images import as_tensor
from sr_experiments.data.training_crops import check_crop, cut, permutation
from sr_experiments.errors import SRError
from sr_experiments.video.scene_cuts import find_cuts, read_cuts


class Clip(Protocol):
    """Consecutive frames of one size: a folder of images, a video file."""

    @property
    def name(self) -> str:
        """Its name within the data, for example `GT/calendar`."""

    @property
    def path(self) -> Path:
        """Where it is, for messages."""

    @property
    def frames(self) -> int:
        """How many frames it has."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its frames."""

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Frames by number, from 0, each uint8 (H, W, C).

        Raises:
            UnreadableImage: one can't be read.
        """


class _Shot(NamedTuple):
    """Frames `first` to `end` - 1 of a clip, without a cut inside."""

    clip: int
    first: int
    end: int


class TrainingClips(Dataset[dict[str, Tensor]]):
    """Crops of clips: `dataset[n, frames]` is sample number n as a clip of so many frames.

    It is defined for every n >= 0 and depends on nothing but n, the number of frames, and the arguments. Every
    run of that many consecutive frames of any clip is one window, and each pass over the windows is a fresh
    permutation of them; clips that are shorter have none. All frames of a sample are cropped at the same place,
    turned and mirrored the same way, and half of the samples run backwards.

    Some samples are a single frame instead, moved under the crop in a random walk of -4 to 4 pixels a step in
    each direction, as TecoGAN-PyTorch does: the true motion then is exactly known to the pixels. The walk is
    limited to the frame, and rounded to whole LR pixels where clips are paired.

    A sample is `{"hr": uint8 (T, C, crop, crop), "skipped": int64 ()}`, and with paired data
    `"lr": uint8 (T, C, crop / scale, crop / scale)`. `skipped` is the index in `paths` of the clip with the
    unreadable frame that another window stands in for, or -1.

    Args:
        clips: of HR frames.
        crop: side of the HR crop, a multiple of `scale`.
        scale: upsampling factor.
        seed: of the run.
        lr_clips: their LR, in the same order, with as many frames.
        scene_cuts: "detect" to pass over windows in which a new shot begins, "none" where every clip is one shot,
            or a text file with lines of `<clip name> <first frame of a new shot> ...`, counted from 0.
        moving_frame: share of the samples that are a single moved frame.
        on_error: "stop" at a frame that can't be read, or "skip" to the next window of the permutation.
        augment: crop at random, but neither turn, mirror and reverse clips nor move single frames, if False.

    Raises:
        SRError: wrong arguments.
    """

    clips: ClassVar[bool] = True
    in_memory: ClassVar[bool] = False

    def __init__(
        self,
        clips: Sequence[Clip],
        crop: int,
        scale: int,
        seed: int = 0,
        lr_clips: Sequence[Clip] | None = None,
        scene_cuts: str = "detect",
        moving_frame: float = 0.3,
        on_error: str = "stop",
        augment: bool = True,
    ) -> None:
        check_crop(crop, scale, on_error)
        if not 0 <= moving_frame <= 1:
            raise SRError(f"data.train.moving_frame={moving_frame!r}: give a share from 0 to 1")
        self.hr_clips = list(clips)
        self.lr_clips = None if lr_clips is None else list(lr_clips)
        self.paths = [clip.path for clip in clips]
        self.crop = crop
        self.scale = scale
        self.seed = seed
        self.detect = scene_cuts == "detect"
        self.moving_frame = moving_frame
        self.on_error = on_error
        self.augment = augment
        listed = {}
        if scene_cuts not in ("detect", "none"):
            listed = read_cuts(scene_cuts, {clip.name: clip.frames for clip in self.hr_clips})
        self.shots = [
            _Shot(i, first, end)
            for i, clip in enumerate(self.hr_clips)
            for first, end in _between(listed.get(clip.name, []), clip.frames)
        ]
        self._windows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.origin = ""  # what the last item was cut from

    def windows(self, frames: int) -> int:
        """How many runs of so many frames there are.

        Raises:
            SRError: none, because every clip is shorter.
        """
        return int(self._ends(frames)[1][-1])

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Sample number n as a clip of so many frames.

        Raises:
            UnreadableImage: with on_error="stop", one of its frames can't be read.
            SRError: no clip is long enough, or no window is fit to be trained on.
        """
        n, frames = key
        rng = np.random.default_rng((self.seed, n))
        moving = self.augment and bool(rng.random() < self.moving_frame)
        backwards = self.augment and bool(rng.random() < 0.5)
        orientation = int(rng.integers(8)) if self.augment else 0
        clip, skipped = self._readable(n, frames, moving)
        # Paired crops start at whole LR pixels, others anywhere.
        grid = self.scale if "lr" in clip else 1
        height, width, _ = clip["lr" if "lr" in clip else "hr"][0].shape
        room = (height - self.crop // grid, width - self.crop // grid)
        if moving:
            places = list(zip(*(_walk(rng, frames, side, grid) for side in room), strict=True))
            clip = {name: pictures * frames for name, pictures in clip.items()}
        else:
            places = [(int(rng.integers(room[0] + 1)), int(rng.integers(room[1] + 1)))] * frames
        if backwards:
            places = places[::-1]
            clip = {name: pictures[::-1] for name, pictures in clip.items()}
        sample = {"hr": self._stack(clip["hr"], places, grid, self.crop, orientation), "skipped": torch.tensor(skipped)}
        if "lr" in clip:
            sample["lr"] = self._stack(clip["lr"], places, 1, self.crop // grid, orientation)
        return sample

    @staticmethod
    def _stack(
        pictures: list[np.ndarray], places: list[tuple[int, int]], grid: int, side: int, orientation: int
    ) -> Tensor:
        crops = [
            cut(picture, grid * top, grid * left, side, orientation)
            for picture, (top, left) in zip(pictures, places, strict=True)
        ]
        return torch.stack(crops)  # (T, C, side, side)

    def _readable(self, n: int, frames: int, moving: bool) -> tuple[dict[str, list[np.ndarray]], int]:
        """The frames of sample n and the index of the clip that couldn't be read for it, or -1.

        Of a moving sample it is the first frame alone.
        """
        count = self.windows(frames)
        order = permutation(self.seed, n // count, count)
        skipped = -1
        for offset in range(count):
            index, first = self._window(int(order[(n + offset) % count]), frames)
            try:
                clip = self._load(index, range(first, first + (1 if moving else frames)))
            except UnreadableImage as error:
                if self.on_error == "stop":
                    raise UnreadableImage(f"{error}, or pass over such clips with data.train.on_error=skip") from error
                skipped = index if skipped < 0 else skipped
            else:
                if not (self.detect and find_cuts([np.asarray(picture) for picture in clip["hr"]])):
                    self.origin = f"{self.paths[index]}, frames from {first}"
                    return clip, skipped
        if skipped < 0:
            raise SRError(
                f"none of the {count} windows of {frames} frames is without a scene cut; the first clip is "
                f"{self.paths[0]}; if these are no cuts, set data.train.scene_cuts=none"
            )
        raise SRError(f"none of the {count} windows of {frames} frames can be read; the first clip is {self.paths[0]}")

    def _load(self, index: int, numbers: Sequence[int]) -> dict[str, list[np.ndarray]]:
        clip = self.hr_clips[index]
        pictures = {"hr": clip.read(numbers)}
        if self.lr_clips is not None:
            pictures["lr"] = self.lr_clips[index].read(numbers)
        for name, found in pictures.items():
            least = self.crop // self.scale if name == "lr" else self.crop
            if any(picture.shape != found[0].shape or min(picture.shape[:2]) < least for picture in found):
                sizes = ", ".join(sorted({f"{picture.shape[1]}x{picture.shape[0]}" for picture in found}))
                raise UnreadableImage(
                    f"frames {numbers[0]} to {numbers[-1]} of {clip.path} ({name}) are {sizes}: "
                    f"clips need one size, of at least {least}x{least}"
                )
        return pictures

    def _window(self, number: int, frames: int) -> tuple[int, int]:
        """Clip and first frame of a window."""
        shots, ends = self._ends(frames)
        place = int(np.searchsorted(ends, number, "right"))
        shot = self.shots[int(shots[place])]
        return shot.clip, shot.first + number - (int(ends[place - 1]) if place else 0)

    def _ends(self, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """The shots that are long enough, and how many windows there are up to the end of each."""
        if frames not in self._windows:
            lengths = np.array([shot.end - shot.first for shot in self.shots])
            shots = np.flatnonzero(lengths >= frames)
            if frames < 1 or not len(shots):
                longest = self.shots[int(lengths.argmax())]
                raise SRError(
                    f"no clip has {frames} frames in one shot: the longest, {self.paths[longest.clip]}, has "
                    f"{lengths.max()}; train on {lengths.max()} or fewer, or give longer clips"
                )
            self._windows[frames] = (shots, np.cumsum(lengths[shots] - frames + 1))
        return self._windows[frames]


class ValidationClips(Dataset[dict[str, Any]]):
    """Whole clips for validation, frame by frame, so that memory stays bounded.

    An item is one frame: `{"hr": uint8 (C, H, W), "name": str, "clip": str, "frame": int}`, cropped at the bottom
    and the right to multiples of the scale, and with paired data `"lr": uint8 (C, H / scale, W / scale)`. Its
    name, `<clip>_<frame>`, is fit for a file.

    Args:
        clips: of HR frames.
        scale: upsampling factor.
        lr_clips: their LR, in the same order, with as many frames.
        frames: use at most so many of each clip, from the first.

    Attributes:
        ranges: the items of each clip.
    """

    clips: ClassVar[bool] = True

    def __init__(
        self, clips: Sequence[Clip], scale: int, lr_clips: Sequence[Clip] | None = None, frames: int | None = None
    ) -> None:
        if frames is not None and frames < 1:
            raise SRError(f"frames={frames!r} of a validation set: give a whole number of at least 1")
        self.hr_clips = list(clips)
        self.lr_clips = None if lr_clips is None else list(lr_clips)
        self.scale = scale
        lengths = [clip.frames if frames is None else min(frames, clip.frames) for clip in self.hr_clips]
        self.ends = np.cumsum(lengths)
        self.ranges = [range(int(end) - length, int(end)) for end, length in zip(self.ends, lengths, strict=True)]

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Frame `index`, counted through all clips."""
        place = int(np.searchsorted(self.ends, index, "right"))
        clip, frame = self.hr_clips[place], index - self.ranges[place].start
        hr = clip.read([frame])[0]
        height, width = (side // self.scale for side in hr.shape[:2])
        item: dict[str, Any] = {
            "hr": as_tensor(hr[: height * self.scale, : width * self.scale]),
            "name": f"{clip.name.replace('/', '_')}_{frame:04d}",
            "clip": clip.name,
            "frame": frame,
        }
        if self.lr_clips is not None:
            item["lr"] = as_tensor(self.lr_clips[place].read([frame])[0])
        return item


def _between(cuts: Sequence[int], frames: int) -> list[tuple[int, int]]:
    """The shots, as (first, end), that cuts make of so many frames."""
    edges = sorted({0, *cuts, frames})
    return list(pairwise(edges))


def _walk(rng: np.random.Generator, frames: int, room: int, grid: int) -> list[int]:
    """Where a crop is, from 0 to `room`, on a random walk along one axis; in steps of `grid` HR pixels."""
    steps = np.floor(rng.uniform(-3.5, 4.5, frames)).astype(int)
    steps[0] = 0
    walk = np.cumsum(steps) // grid
    walk -= walk.min()
    start = int(rng.integers(max(room - int(walk.max()), 0) + 1))
    return [int(place) for place in np.minimum(walk + start, room)]
