"""Datasets of a folder of clips, which are folders of numbered images or video files, with or without LR."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from sr_experiments.config.constraints import AnyPath, Count, InputPath, OnError, Share, Shrink
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.clips import Clip, ShrunkClip, TrainingClips, ValidationClips
from sr_experiments.data.image_files import EXTENSIONS as IMAGE_EXTENSIONS
from sr_experiments.data.image_files import UnreadableImage, natural_key
from sr_experiments.data.packs.folders import FileFolder, PackedVideo, is_folder, open_folder
from sr_experiments.data.paired import scale_folder
from sr_experiments.data.training_crops import first_few
from sr_experiments.errors import SRError
from sr_experiments.files.walk import composed
from sr_experiments.video.decode import VideoFile
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS

log = logging.getLogger(__name__)


@dataclass
class FrameFolder:
    """Clip of the images in a folder; files are opened only when frames are read."""

    folder: FileFolder  # that contains it, possibly packed
    path: Path  # of the images' folder
    files: Sequence[str]  # names of the images, in order
    name: str
    channels: int
    size: tuple[int, int]  # (height, width)

    def __post_init__(self) -> None:
        self.frames = len(self.files)

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read frames by number, each uint8 (H, W, channels)."""
        return [self.folder.read(self.path / self.files[index], self.channels) for index in indices]


def open_frames(folder: FileFolder, path: Path, files: Sequence[str], name: str, channels: int = 3) -> FrameFolder:
    """Open a folder of images as a clip, ordered by the last number in their names; arguments as of `FrameFolder`.

    Raises:
        SRError: a number is missing or occurs twice, a file is not an image, or sizes differ.
    """
    files = _sorted_frames(path, files)
    sizes: list[tuple[int, int]] = []
    for file, size in zip(files, folder.sizes([path / file for file in files]), strict=True):
        if isinstance(size, UnreadableImage):
            raise size
        sizes.append(size)
        if size != sizes[0]:
            raise SRError(
                f"frames of clip {path} differ in size: {file} is {size[1]}x{size[0]}, "
                f"{files[0]} is {sizes[0][1]}x{sizes[0][0]}; move them to clips of their own"
            )
    return FrameFolder(folder, path, files, name, channels, sizes[0])


@TRAINING_SETS.register("videos")
class VideoFolder(TrainingClips):
    """Training clips in a folder and its subfolders.

    Every folder that directly contains images is a clip, named by its path below the root (the root by its own name);
    so is every video file, named without its extension. Windows of a video are decoded from the previous keyframe on,
    so videos with few keyframes are slow to train on: extract their frames first.

    Args:
        root: the folder, or a pack of it.
        lr: folder of LR clips with the same names and numbers of frames, or a folder that contains it as `X2`, `X3`,
            `X4`; if not given, LR is generated from HR.
        on_error: "stop" at a clip that can't be used, or "skip" it.
        shrink: factor by which frames are downscaled to give HR, see `ShrunkClip`: 2 or 3 give clean HR from compressed
            videos.

    Raises:
        SRError: no clips; with on_error="stop", a clip that is damaged, incomplete or smaller than the crop; HR and
            LR that don't pair.
    """

    def __init__(
        self,
        root: InputPath,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        lr: InputPath | None = None,
        scene_cuts: Literal["detect", "none"] | AnyPath = "detect",
        moving_frame: Share = 0.3,
        on_error: OnError = "stop",
        augment: bool = True,
        cache: str | None = None,
        shrink: Shrink = 1,
    ) -> None:
        clips, lr_clips = _load_clips(
            root, lr, scale, channels, self.wants, crop=crop, on_error=on_error, cache=cache, shrink=shrink
        )
        super().__init__(clips, crop, scale, seed, lr_clips, scene_cuts, moving_frame, on_error, augment)

    def wants(self, name: str) -> bool:
        """Return whether to use the clip of this name; subclasses select some."""
        return True


@VALIDATION_SETS.register("videos")
class VideoValidation(ValidationClips):
    """Whole clips of a folder for validation, frame by frame; clips as for `VideoFolder`.

    Args:
        root: the folder of HR clips, or a pack of it; LR is generated from them.
        hr: the same, if there is LR.
        lr: folder of LR clips, as for `VideoFolder`.
        limit: use only the first clips, up to this many.
        shrink: as for `VideoFolder`.

    Raises:
        SRError: no clips, a clip that is damaged or incomplete, or HR and LR that don't pair.
    """

    def __init__(
        self,
        scale: int,
        channels: int = 3,
        root: InputPath | None = None,
        hr: InputPath | None = None,
        lr: InputPath | None = None,
        limit: Count | None = None,
        frames: Count | None = None,
        cache: str | None = None,
        shrink: Shrink = 1,
    ) -> None:
        folder = root or hr
        if folder is None or (root and hr):
            raise SRError("validation clips need either root=<folder>, or hr=<folder> and lr=<folder>")
        clips, lr_clips = _load_clips(folder, lr, scale, channels, self.wants, limit, cache=cache, shrink=shrink)
        super().__init__(clips, scale, lr_clips, frames)

    def wants(self, name: str) -> bool:
        """Return whether to use the clip of this name; subclasses select some."""
        return True


def _load_clips(
    hr: str,
    lr: str | None,
    scale: int,
    channels: int,
    wants: Callable[[str], bool],
    limit: int | None = None,
    crop: int = 1,
    on_error: str | None = None,
    cache: str | None = None,
    shrink: int = 1,
) -> tuple[list[Clip], list[Clip] | None]:
    """Open HR clips and their LR, in natural order, or stop at clips that can't be used, unless on_error="skip"."""

    def find(root: Path) -> dict[str, _ClipFiles]:
        folder = open_folder(root, cache, on_error or "stop", videos=True)
        return {name: clip for name, clip in _find_clips(folder).items() if wants(name)}

    if lr is not None and shrink > 1:
        raise SRError(f"shrink={shrink} makes HR smaller, and lr={lr} would no longer fit: leave out one of the two")
    hr_root = Path(hr).expanduser()
    found = find(hr_root)
    if not found:
        raise SRError(f"{hr_root} has clips, but not those of this dataset; check the path")
    lr_found: dict[str, _ClipFiles] = {}
    if lr is not None:
        lr_root = scale_folder(Path(lr).expanduser(), scale)
        lr_found = find(lr_root)
        unpaired = [f"HR clip {name} has no LR" for name in found if name not in lr_found]
        unpaired += [f"LR clip {name} has no HR" for name in lr_found if name not in found]
        if unpaired:
            raise SRError(f"{hr_root} and {lr_root} don't pair: {first_few(unpaired)}")
    names = list(found)[:limit]
    with ThreadPoolExecutor(8) as pool:
        clips = list(pool.map(lambda name: found[name].open(channels), names))
        lr_clips = list(pool.map(lambda name: lr_found[name].open(channels) if lr_found else None, names))
    usable: list[tuple[Clip, Clip | None]] = []
    unusable, mismatched = [], []
    for clip, lr_clip in zip(clips, lr_clips, strict=True):
        if isinstance(clip, SRError):
            unusable.append(str(clip))
        elif isinstance(lr_clip, SRError):
            unusable.append(str(lr_clip))
        elif min(clip.size) < crop * shrink:
            size = f"{clip.size[1]}x{clip.size[0]}"
            times = f" times shrink={shrink}" if shrink > 1 else ""
            unusable.append(f"clip {clip.path} is {size}: smaller than data.crop={crop}{times}; use a smaller crop")
        elif lr_clip is not None and (problem := _mismatch(clip, lr_clip, scale)):
            mismatched.append(problem)
        else:
            usable.append((clip if shrink == 1 else ShrunkClip(clip, shrink), lr_clip))
    if mismatched:  # not skipped: they would be trained on with the wrong pixels
        raise SRError(f"HR and LR don't pair: {first_few(mismatched, 3)}")
    if unusable and (on_error != "skip" or not usable):
        hint = ", or leave out such clips with data.train.on_error=skip" if on_error == "stop" else ""
        raise SRError(first_few(unusable, 3) + hint)
    if unusable:
        log.warning("leaving out %d of %d clips: %s", len(unusable), len(names), first_few(unusable, len(unusable)))
    usable_lr = [lr_clip for _, lr_clip in usable if lr_clip is not None]
    return [clip for clip, _ in usable], usable_lr if lr is not None else None


class _ClipFiles(NamedTuple):
    """The files of a clip, before it is opened."""

    folder: FileFolder
    name: str
    path: Path
    images: list[str] | None  # names of the frames of a folder; None for a video

    def open(self, channels: int) -> FrameFolder | VideoFile | PackedVideo | SRError:
        """Open the clip; an error is returned in its place."""
        try:
            if self.images is None:
                return self.folder.video(self.path, self.name, channels)
            return open_frames(self.folder, self.path, self.images, self.name, channels)
        except SRError as problem:
            return problem


def _find_clips(folder: FileFolder) -> dict[str, _ClipFiles]:
    """Find the clips in a folder and below it, by name, in natural order; links are followed, hidden files skipped."""
    root = folder.root
    if not is_folder(root):
        raise SRError(f"no folder {root}: looked for clips there; check the path")
    found = []
    for parent, files in folder.walk():
        images = [name for name in files if name.lower().endswith(IMAGE_EXTENSIONS)]
        if images:
            name = composed(parent.relative_to(root).as_posix())
            found.append(_ClipFiles(folder, folder.name if name == "." else name, parent, images))
        for video in (parent / name for name in files if name.lower().endswith(VIDEO_EXTENSIONS)):
            name = composed(video.relative_to(root).with_suffix("").as_posix())
            found.append(_ClipFiles(folder, name, video, None))
    if not found:
        looked_for = " ".join((*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS))
        raise SRError(f"no clips in {root} or below it: looked for folders of images, and for {looked_for}")
    found.sort(key=lambda clip: natural_key(clip.name))
    for one, other in pairwise(found):
        if one.name == other.name:
            raise SRError(f"{one.path} and {other.path} would both be clip {one.name!r}: rename or remove one")
    return {clip.name: clip for clip in found}


def _mismatch(clip: Clip, lr_clip: Clip, scale: int) -> str | None:
    """Return how LR does not match HR in frames or size, or None if it does."""
    if clip.frames != lr_clip.frames:
        return f"{clip.path} has {clip.frames} frames, {lr_clip.path} has {lr_clip.frames}"
    wanted = (clip.size[0] // scale, clip.size[1] // scale)
    if lr_clip.size != wanted:
        return (
            f"{clip.path} is {clip.size[1]}x{clip.size[0]}, so for scale={scale} {lr_clip.path} should be "
            f"{wanted[1]}x{wanted[0]}, but it is {lr_clip.size[1]}x{lr_clip.size[0]}"
        )
    return None


def _sorted_frames(folder: Path, files: Sequence[str]) -> list[str]:
    """Sort frames by the last number in their names that isn't the same in all; none may be missing, or occur twice."""
    found: dict[str, list[int]] = {}
    for file in sorted(files, key=natural_key):
        found[file] = [int(digits) for digits in re.findall(r"\d+", Path(file).stem)]
        if not found[file]:
            raise SRError(f"{folder / file} has no number in its name that gives its position in the clip: rename it")
    # As the 4 in 0001_x4, 0002_x4.
    scale_last = len(files) > 1 and len({tuple(of_file[-1:]) for of_file in found.values()}) == 1
    position = -2 if scale_last and min(map(len, found.values())) > 1 else -1
    numbers = {file: of_file[position] for file, of_file in found.items()}
    number, times = Counter(numbers.values()).most_common(1)[0]
    if times > 1:
        same = [file for file in numbers if numbers[file] == number]
        raise SRError(f"clip {folder} has frame {number} {times} times: {first_few(same, 3)}; keep one")
    present = set(numbers.values())
    missing = [str(i) for i in range(min(present), max(present)) if i not in present]
    if missing:
        raise SRError(f"clip {folder} lacks frame {first_few(missing)}; add it, or split the clip there")
    return sorted(numbers, key=numbers.__getitem__)
