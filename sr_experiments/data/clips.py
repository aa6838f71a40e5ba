"""Random training clips, each a pure function of (seed, sample number), and whole clips for validation."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.data.held_out import AUTO, ValShare, held_out
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.images import as_tensor
from sr_experiments.data.training_crops import TrainingSet, cut, first_few, permutation, turned
from sr_experiments.errors import SRError
from sr_experiments.video.scene_cuts import find_cuts, read_cuts

LEAST_TO_MEASURE = 6  # frames of a clip for validation: tOF and tLP need as many
LEAST_FRAMES = 10  # to train on, of a clip whose end is held out


class Clip(Protocol):
    """Consecutive frames of one size: a folder of images or a video file."""

    name: str  # within the data, such as `GT/calendar`
    path: Path  # folder or file, for messages
    frames: int  # how many
    size: tuple[int, int]  # (height, width)

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read frames by number, from 0, each uint8 (H, W, C).

        Raises:
            UnreadableImage: a frame can't be read.
        """


class ClipPart:
    """Consecutive frames of a clip, as a clip: `frames` of them from `first` on."""

    def __init__(self, clip: Clip, first: int, frames: int) -> None:
        self.clip, self.first, self.frames = clip, first, frames
        self.name, self.path, self.size = clip.name, clip.path, clip.size

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read frames by number, counted from the first of the part."""
        return self.clip.read([self.first + index for index in indices])


class ShrunkClip:
    """A clip whose frames are reduced by a whole factor: each pixel is the mean of a square, as of a larger sensor.

    What compression did to a video is mostly gone then, so that its frames may serve as HR. Rows and columns that fill
    no square are cropped.
    """

    def __init__(self, clip: Clip, factor: int) -> None:
        self.clip, self.factor = clip, factor
        self.name, self.path, self.frames = clip.name, clip.path, clip.frames
        self.size = (clip.size[0] // factor, clip.size[1] // factor)

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read frames by number."""
        return [self._shrunk(np.asarray(frame)) for frame in self.clip.read(indices)]

    def _shrunk(self, frame: np.ndarray) -> np.ndarray:
        height, width = (side // self.factor for side in frame.shape[:2])
        whole = frame[: height * self.factor, : width * self.factor]
        return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)


class TrainingClips(TrainingSet):
    """Random crops of clips: `dataset[n, frames]` is sample number n, as a clip of that many frames.

    A window is a run of that many consecutive frames of a clip, so shorter clips have none; each pass over all windows
    is a new permutation. All frames of a sample share the crop position and orientation; half of the samples run
    backwards.

    Some samples are instead a single frame that moves under the crop in a random walk of -4 to 4 pixels per step and
    axis, as in TecoGAN-PyTorch, so that its motion is known exactly. The walk stays inside the frame, and is rounded
    to whole LR pixels for paired clips.

    A sample is `{"hr": uint8 (T, C, crop, crop), "skipped": int64 ()}`, with paired data also
    `"lr": uint8 (T, C, crop / scale, crop / scale)`. `skipped` is the index in `paths` of the clip with an unreadable
    frame that this sample replaces, or -1.

    Args:
        clips: clips of HR frames.
        lr_clips: the LR clips, in the same order and with as many frames.
        scene_cuts: "detect" to skip windows that contain a cut, "none" if every clip is one shot, or a text file with
            lines of `<clip name> <first frame of a new shot> ...`, counted from 0.
        moving_frame: fraction of the samples that are a single moving frame.
        on_error: "stop" at a frame that can't be read, or "skip" to the next window of the permutation.
        augment: rotate, flip and reverse clips at random, and move single frames; if False, only crop at random.
    """

    clips: ClassVar[bool] = True

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
        super().__init__([clip.path for clip in clips], crop, scale, seed, on_error, augment)
        self.hr_clips = list(clips)
        self.lr_clips = None if lr_clips is None else list(lr_clips)
        self.detect = scene_cuts == "detect"
        self.moving_frame = moving_frame
        listed_cuts = {}
        if scene_cuts not in ("detect", "none"):
            listed_cuts = read_cuts(scene_cuts, {clip.name: clip.frames for clip in self.hr_clips})
        self._cuts = listed_cuts
        self._find_shots()

    def _find_shots(self) -> None:
        self.shots = [  # (clip, first frame, end), with no cut between the frames
            (i, first, end)
            for i, clip in enumerate(self.hr_clips)
            for first, end in pairwise(
                sorted({0, *(cut for cut in self._cuts.get(clip.name, []) if cut < clip.frames), clip.frames})
            )
        ]
        self._windows: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def split_off(self, share: ValShare) -> tuple["ValidationClips | None", str]:
        """Take a share of the clips out of training, for validation; of a single clip, its last frames.

        Returns:
            The clips, or None where too little would be left; and which they are, in words.
        """
        lengths = [clip.frames for clip in self.hr_clips]
        if len(lengths) == 1:
            return self._split_off_the_end(share)
        # Stages may need clips as long as the longest.
        kept = [i for i, frames in enumerate(lengths) if frames < LEAST_TO_MEASURE or i == int(np.argmax(lengths))]
        chosen = held_out([clip.name for clip in self.hr_clips], share, "clips", kept)
        rest = [i for i in range(len(lengths)) if i not in set(chosen)]
        if not chosen:
            return None, f"{len(lengths)} clips, of which one besides the longest must have {LEAST_TO_MEASURE} frames"
        of_chosen, words = [self.hr_clips[i] for i in chosen], f"{len(chosen)} of {len(lengths)} clips"
        clips = ValidationClips(of_chosen, self.scale, self.lr_clips and [self.lr_clips[i] for i in chosen])
        words = f"{words}: {first_few([clip.name for clip in of_chosen])}"
        self._keep([self.hr_clips[i] for i in rest], self.lr_clips and [self.lr_clips[i] for i in rest])
        return clips, words

    def _split_off_the_end(self, share: ValShare) -> tuple["ValidationClips | None", str]:
        frames, name = self.hr_clips[0].frames, self.hr_clips[0].name
        count = max(round(frames * (AUTO if share == "auto" else share)), LEAST_TO_MEASURE)
        if frames - count < LEAST_FRAMES:
            return None, f"{name}, the only clip, has {frames} frames"
        start = frames - count
        ends, rest = (
            [None if clips is None else [ClipPart(clips[0], first, number)] for clips in (self.hr_clips, self.lr_clips)]
            for first, number in ((start, count), (0, start))
        )
        self._keep(rest[0] or [], rest[1])
        return ValidationClips(ends[0] or [], self.scale, ends[1]), f"frames from {start} of {name}, the only clip"

    def _keep(self, clips: Sequence[Clip], lr_clips: Sequence[Clip] | None) -> None:
        self.paths = [clip.path for clip in clips]
        self.hr_clips = list(clips)
        self.lr_clips = None if lr_clips is None else list(lr_clips)
        self._find_shots()

    def windows(self, frames: int) -> int:
        """Return the number of windows of that many frames.

        Raises:
            SRError: there is none, because every clip is shorter.
        """
        return int(self._window_ends(frames)[1][-1])

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Return sample number n as a clip of that many frames.

        Raises:
            UnreadableImage: with on_error="stop", a frame of it can't be read.
            SRError: no clip is long enough, or no window can be used.
        """
        n, frames = key
        rng = np.random.default_rng((self.seed, n))
        moving = self.augment and bool(rng.random() < self.moving_frame)
        backwards = self.augment and bool(rng.random() < 0.5)
        orientation = int(rng.integers(8)) if self.augment else 0
        clip, skipped = self._read_window(n, frames, moving)
        # Positions are in LR pixels for paired clips, so that both crops match, in HR pixels otherwise.
        grid = self.scale if "lr" in clip else 1
        height, width, _ = clip["lr" if "lr" in clip else "hr"][0].shape
        room = (height - self.crop // grid, width - self.crop // grid)
        if moving:
            positions = list(zip(*(_walk(rng, frames, side, grid) for side in room), strict=True))
            clip = {name: images * frames for name, images in clip.items()}
        else:
            positions = [(int(rng.integers(room[0] + 1)), int(rng.integers(room[1] + 1)))] * frames
        if backwards:
            positions = positions[::-1]
            clip = {name: images[::-1] for name, images in clip.items()}
        earlier = (0, 0)
        if "lr" in clip:
            orientation, earlier = turned(self.phase, grid, orientation, room)
            least = [int(pixels > 0) for pixels in earlier]
            positions = [(max(top, least[0]), max(left, least[1])) for top, left in positions]
        sample = {"skipped": torch.tensor(skipped)}
        for name, images in clip.items():
            unit, side, (up, back) = (1, self.crop // grid, (0, 0)) if name == "lr" else (grid, self.crop, earlier)
            crops = [
                cut(image, unit * top - up, unit * left - back, side, orientation)
                for image, (top, left) in zip(images, positions, strict=True)
            ]
            sample[name] = torch.stack(crops)  # (T, C, side, side)
        return sample

    def _read_window(self, n: int, frames: int, moving: bool) -> tuple[dict[str, list[np.ndarray]], int]:
        """Return the frames of sample n, and the index of the clip that couldn't be read for it or -1.

        Only the first frame is read for a moving sample.
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
                    raise UnreadableImage(f"{error}, or skip such clips with data.train.on_error=skip") from error
                skipped = index if skipped < 0 else skipped
            else:
                if not (self.detect and find_cuts([np.asarray(image) for image in clip["hr"]])):
                    self.origin = f"{self.paths[index]}, frames from {first}"
                    return clip, skipped
        if skipped < 0:
            raise SRError(
                f"each of the {count} windows of {frames} frames contains a scene cut; the first clip is "
                f"{self.paths[0]}; if these are not cuts, set data.train.scene_cuts=none"
            )
        raise SRError(f"none of the {count} windows of {frames} frames can be read; the first clip is {self.paths[0]}")

    def _load(self, index: int, numbers: Sequence[int]) -> dict[str, list[np.ndarray]]:
        """Read frames of a clip, and of its LR; what differs in size from the first frame counts as unreadable."""
        clip = self.hr_clips[index]
        images = {"hr": clip.read(numbers)}
        if self.lr_clips is not None:
            images["lr"] = self.lr_clips[index].read(numbers)
        for name, frames in images.items():
            least = self.crop // self.scale if name == "lr" else self.crop
            if any(frame.shape != frames[0].shape or min(frame.shape[:2]) < least for frame in frames):
                sizes = ", ".join(sorted({f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames}))
                raise UnreadableImage(
                    f"frames {numbers[0]} to {numbers[-1]} of {clip.path} ({name}) are {sizes}: "
                    f"the frames of a clip must have one size of at least {least}x{least}"
                )
        return images

    def _window(self, number: int, frames: int) -> tuple[int, int]:
        """Return the clip and the first frame of a window."""
        shots, ends = self._window_ends(frames)
        index = int(np.searchsorted(ends, number, "right"))
        clip, start, _ = self.shots[int(shots[index])]
        return clip, start + number - (int(ends[index - 1]) if index else 0)

    def _window_ends(self, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the shots that are long enough, and the number of windows up to the end of each."""
        if frames not in self._windows:
            lengths = np.array([end - first for _, first, end in self.shots])
            shots = np.flatnonzero(lengths >= frames)
            if frames < 1 or not len(shots):
                longest = self.paths[self.shots[int(lengths.argmax())][0]]
                raise SRError(
                    f"no clip has {frames} frames in one shot: the longest, {longest}, has "
                    f"{lengths.max()}; train on {lengths.max()} or fewer, or give longer clips"
                )
            self._windows[frames] = (shots, np.cumsum(lengths[shots] - frames + 1))
        return self._windows[frames]


class ValidationClips(Dataset[dict[str, Any]]):
    """Whole clips for validation, frame by frame, so that memory use does not grow with their length.

    An item is one frame: `{"hr": uint8 (C, H, W), "name": str, "clip": str, "frame": int}`, cropped at the bottom and
    right to multiples of the scale; with paired data also `"lr": uint8 (C, H / scale, W / scale)`. The name,
    `<clip>_<frame>`, can be used as a file name.

    Args:
        clips: clips of HR frames.
        scale: upsampling factor.
        lr_clips: the LR clips, in the same order and with as many frames.
        frames: use only the first frames of each clip, up to this many.

    Attributes:
        ranges: the item numbers of each clip.
    """

    clips: ClassVar[bool] = True

    def __init__(
        self, clips: Sequence[Clip], scale: int, lr_clips: Sequence[Clip] | None = None, frames: int | None = None
    ) -> None:
        self.hr_clips = list(clips)
        self.lr_clips = None if lr_clips is None else list(lr_clips)
        self.scale = scale
        lengths = [clip.frames if frames is None else min(frames, clip.frames) for clip in self.hr_clips]
        self.ends = np.cumsum(lengths)
        self.ranges = [range(int(end) - length, int(end)) for end, length in zip(self.ends, lengths, strict=True)]

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return frame `index`, counted across all clips."""
        number = int(np.searchsorted(self.ends, index, "right"))
        clip, frame = self.hr_clips[number], index - self.ranges[number].start
        hr = clip.read([frame])[0]
        height, width = (side // self.scale for side in hr.shape[:2])
        item: dict[str, Any] = {
            "hr": as_tensor(hr[: height * self.scale, : width * self.scale]),
            "name": f"{clip.name.replace('/', '_')}_{frame:04d}",
            "clip": clip.name,
            "frame": frame,
        }
        if self.lr_clips is not None:
            item["lr"] = as_tensor(self.lr_clips[number].read([frame])[0])
        return item


class WithLater(Dataset[dict[str, Any]]):
    """Whole clips for validation, each frame with those after it in its clip.

    Items are those of the clips, and `"later"`: for up to `lookahead` frames what their LR is, or is made from,
    `{"lr": ...}` or `{"hr": ..., "frame": int}`. Items that are read in their order are read once.

    Args:
        clips: as `ValidationClips`.
        lookahead: number of later frames.
    """

    def __init__(self, clips: Any, lookahead: int) -> None:
        self.clips = clips
        self.lookahead = lookahead
        self._read: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return frame `index`, counted across all clips."""
        end = next(clip.stop for clip in self.clips.ranges if index < clip.stop)
        wanted = range(index, min(index + 1 + self.lookahead, end))
        self._read = {i: self._read[i] if i in self._read else self.clips[i] for i in wanted}
        item, *later = self._read.values()
        return {**item, "later": [{k: x[k] for k in (("lr",) if "lr" in x else ("hr", "frame"))} for x in later]}


def _walk(rng: np.random.Generator, frames: int, room: int, grid: int) -> list[int]:
    """Return crop positions from 0 to `room` on a random walk along one axis, in units of `grid` HR pixels."""
    steps = np.floor(rng.uniform(-3.5, 4.5, frames)).astype(int)  # -4 to 4, as in TecoGAN-PyTorch
    steps[0] = 0
    walk = np.cumsum(steps) // grid
    walk -= walk.min()
    start = int(rng.integers(max(room - int(walk.max()), 0) + 1))
    return [int(position) for position in np.minimum(walk + start, room)]
