"""Clips in a folder: each a folder of numbered images, or a video file; LR is made from them, or comes along."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from sr_experiments.data.clips import Clip, TrainingClips, ValidationClips
from sr_experiments.data.image_files import EXTENSIONS as IMAGE_EXTENSIONS
from sr_experiments.data.image_files import UnreadableImage, natural_key
from sr_experiments.data.packs.folders import FileFolder, PackedVideo, is_folder, open_folder
from sr_experiments.data.paired import scale_folder
from sr_experiments.data.training_crops import check_crop, first_few
from sr_experiments.errors import SRError
from sr_experiments.video.decode import EXTENSIONS as VIDEO_EXTENSIONS
from sr_experiments.video.decode import VideoFile

log = logging.getLogger(__name__)

Problem = SRError  # what is wrong with a clip, in its place


class FrameFolder:
    """The images of a folder as a clip, in the order of the last number in their names.

    Args:
        path: the folder.
        files: names of its images.
        name: of the clip.
        channels: 3 for RGB, 1 for grey.
        folder: what it is in, be it a pack; if not given, files.

    Attributes:
        frames: how many there are.
        size: (height, width), from the headers.

    Raises:
        SRError: numbers are missing or twice there, or sizes differ.
        UnreadableImage: one is no image.
    """

    def __init__(
        self, path: str | Path, files: Sequence[str], name: str, channels: int = 3, folder: FileFolder | None = None
    ) -> None:
        self.path = Path(path)
        self.folder = folder or FileFolder(path)
        self.name = name
        self.channels = channels
        self.files = _in_order(self.path, files)
        self.frames = len(self.files)
        sizes = self.folder.sizes([self.path / file for file in self.files])
        for file, size in zip(self.files, sizes, strict=True):
            if isinstance(size, UnreadableImage):
                raise size
            if size != sizes[0]:
                raise SRError(
                    f"frames of clip {self.path} differ in size: {file} is {size[1]}x{size[0]}, "
                    f"{self.files[0]} is {sizes[0][1]}x{sizes[0][0]}; put them into clips of their own"  # type: ignore[index]
                )
        self.size: tuple[int, int] = sizes[0]  # type: ignore[assignment]

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Frames by number, each uint8 (H, W, channels).

        Raises:
            UnreadableImage: one of them is damaged.
        """
        return [self.folder.read(self.path / self.files[index], self.channels) for index in indices]


class VideoFolder(TrainingClips):
    """Training clips out of a folder with all below it.

    Every folder that directly holds images is a clip, named by its path below the root (the root itself by its
    own name), and so is every video file, without its extension. A window out of a video is decoded from the
    keyframe before, so videos with few keyframes are slow to train on: extract their frames.

    Args:
        root: the folder, or a pack of it.
        crop: side of the HR crop, a multiple of `scale`.
        scale: upsampling factor.
        channels: 3 for RGB, 1 for grey.
        seed: of the run.
        lr: folder of LR clips with the same names and as many frames, or one that holds it as `X2`, `X3`, `X4`;
            if not given, LR is made from HR.
        scene_cuts: "detect", "none" or a list in a file; see `TrainingClips`.
        moving_frame: share of the samples that are a single moved frame.
        on_error: "stop" at a clip that can't be used, or "skip" it.
        augment: turn, mirror and reverse clips at random, and move single frames.
        cache: folder of packs to read from instead; see `open_folder`.

    Raises:
        SRError: no clips, or with on_error="stop" one that is damaged, incomplete or smaller than the crop; HR
            and LR that don't pair.
    """

    def __init__(
        self,
        root: str,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        lr: str | None = None,
        scene_cuts: str = "detect",
        moving_frame: float = 0.3,
        on_error: str = "stop",
        augment: bool = True,
        cache: str | None = None,
    ) -> None:
        check_crop(crop, scale, on_error)
        clips, lr_clips = _load_clips(root, lr, scale, channels, self.wants, crop=crop, on_error=on_error, cache=cache)
        super().__init__(clips, crop, scale, seed, lr_clips, scene_cuts, moving_frame, on_error, augment)

    def wants(self, name: str) -> bool:
        """Whether a clip of that name is trained on: here, any."""
        return True


class VideoValidation(ValidationClips):
    """Whole clips of a folder for validation, frame by frame; clips as for `VideoFolder`.

    Args:
        scale: upsampling factor.
        channels: 3 for RGB, 1 for grey.
        root: the folder of HR clips, or a pack of it; LR is made from them.
        hr: the same, where there is LR.
        lr: folder of LR clips, as for `VideoFolder`.
        limit: use only this many clips, from the first.
        frames: use at most so many frames of each clip.
        cache: folder of packs to read from instead; see `open_folder`.

    Raises:
        SRError: no clips, one that is damaged or incomplete, or HR and LR that don't pair.
    """

    def __init__(
        self,
        scale: int,
        channels: int = 3,
        root: str | None = None,
        hr: str | None = None,
        lr: str | None = None,
        limit: int | None = None,
        frames: int | None = None,
        cache: str | None = None,
    ) -> None:
        folder = root or hr
        if folder is None or (root and hr):
            raise SRError("validation clips need either root=<folder>, or hr=<folder> and lr=<folder>")
        clips, lr_clips = _load_clips(folder, lr, scale, channels, self.wants, limit, cache=cache)
        super().__init__(clips, scale, lr_clips, frames)

    def wants(self, name: str) -> bool:
        """Whether a clip of that name is validated on: here, any."""
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
) -> tuple[list[Clip], list[Clip] | None]:
    """HR clips and their LR, in natural order, all of which can be used.

    Raises:
        SRError: names the clips that can't be; with on_error="skip", if none can.
    """
    opened = partial(open_folder, cache=cache, on_error=on_error or "stop", videos=True)
    hr_root = Path(hr).expanduser()
    found = {name: clip for name, clip in _find_clips(opened(hr_root)).items() if wants(name)}
    if not found:
        raise SRError(f"none of the clips in {hr_root} is one to use; check the path")
    lr_found: dict[str, _Found] = {}
    if lr is not None:
        lr_root = scale_folder(Path(lr).expanduser(), scale)
        lr_found = {name: clip for name, clip in _find_clips(opened(lr_root)).items() if wants(name)}
        odd = [f"HR clip {name} has no LR" for name in found if name not in lr_found]
        odd += [f"LR clip {name} has no HR" for name in lr_found if name not in found]
        if odd:
            raise SRError(f"{hr_root} and {lr_root} don't pair: {first_few(odd)}")
    names = list(found)[:limit]
    clips = _opened([found[name] for name in names], channels)
    lr_clips = _opened([lr_found[name] for name in names], channels) if lr is not None else [None] * len(names)
    good: list[tuple[Clip, Clip | None]] = []
    left_out, unpaired = [], []
    for clip, lr_clip in zip(clips, lr_clips, strict=True):
        if isinstance(clip, Problem):
            left_out.append(str(clip))
        elif isinstance(lr_clip, Problem):
            left_out.append(str(lr_clip))
        elif min(clip.size) < crop:
            size = f"{clip.size[1]}x{clip.size[0]}"
            left_out.append(f"clip {clip.path} is {size}: smaller than data.crop={crop}; use a smaller crop")
        elif lr_clip is not None and (problem := _mismatch(clip, lr_clip, scale)):
            unpaired.append(problem)
        else:
            good.append((clip, lr_clip))
    if unpaired:
        raise SRError(f"HR and LR don't pair: {first_few(unpaired, 3)}")
    if left_out and (on_error != "skip" or not good):
        hint = ", or leave out such clips with data.train.on_error=skip" if on_error == "stop" else ""
        raise SRError(first_few(left_out, 3) + hint)
    if left_out:
        log.warning("leaving out %d of %d clips: %s", len(left_out), len(names), first_few(left_out, len(left_out)))
    pairs = [lr_clip for _, lr_clip in good if lr_clip is not None]
    return [clip for clip, _ in good], pairs if lr is not None else None


class _Found:
    """A clip that was found but not yet looked at."""

    def __init__(self, folder: FileFolder, name: str, path: Path, files: list[str] | None) -> None:
        self.folder = folder
        self.name = name
        self.path = path
        self.files = files  # of a folder

    def open(self, channels: int) -> "FrameFolder | VideoFile | PackedVideo | Problem":
        try:
            if self.files is None:
                return self.folder.video(self.path, self.name, channels)
            return FrameFolder(self.path, self.files, self.name, channels, self.folder)
        except SRError as problem:
            return problem


def _find_clips(folder: FileFolder) -> dict[str, _Found]:
    """What is a clip in a folder and below it, by name, in natural order; links followed, hidden files not.

    Raises:
        SRError: no such folder, no clips, or two of the same name.
    """
    root = folder.root
    if not is_folder(root):
        raise SRError(f"no folder {root}: looked for clips there; check the path")
    found = []
    for here, files in folder.walk():
        images = [name for name in files if name.lower().endswith(IMAGE_EXTENSIONS)]
        if images:
            name = here.relative_to(root).as_posix()
            found.append(_Found(folder, folder.name if name == "." else name, here, images))
        for video in (here / name for name in files if name.lower().endswith(VIDEO_EXTENSIONS)):
            found.append(_Found(folder, video.relative_to(root).with_suffix("").as_posix(), video, None))
    if not found:
        looked_for = " ".join((*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS))
        raise SRError(f"no clips in {root} or below it: looked for folders of images, and for {looked_for}")
    found.sort(key=lambda clip: natural_key(clip.name))
    for one, other in pairwise(found):
        if one.name == other.name:
            raise SRError(f"{one.path} and {other.path} would both be clip {one.name!r}: rename or remove one")
    return {clip.name: clip for clip in found}


def _opened(found: list[_Found], channels: int) -> list[FrameFolder | VideoFile | PackedVideo | Problem]:
    """Look at clips, several at a time; what is wrong with one is returned in its place."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda clip: clip.open(channels), found))


def _mismatch(clip: Clip, lr_clip: Clip, scale: int) -> str | None:
    if clip.frames != lr_clip.frames:
        return f"{clip.path} has {clip.frames} frames, {lr_clip.path} has {lr_clip.frames}"
    wanted = (clip.size[0] // scale, clip.size[1] // scale)
    if lr_clip.size != wanted:
        return (
            f"{clip.path} is {clip.size[1]}x{clip.size[0]}, so for scale={scale} {lr_clip.path} should be "
            f"{wanted[1]}x{wanted[0]}, but it is {lr_clip.size[1]}x{lr_clip.size[0]}"
        )
    return None


def _in_order(folder: Path, files: Sequence[str]) -> list[str]:
    """Frames by the last number in their names.

    Raises:
        SRError: a name without number, a number twice, or numbers missing between the first and the last.
    """
    numbers: dict[str, int] = {}
    for file in sorted(files, key=natural_key):
        found = re.findall(r"\d+", Path(file).stem)
        if not found:
            raise SRError(f"{folder / file} has no number in its name, so it has no place in clip {folder}: rename it")
        numbers[file] = int(found[-1])
    number, times = Counter(numbers.values()).most_common(1)[0]
    if times > 1:
        both = [file for file in numbers if numbers[file] == number]
        raise SRError(f"clip {folder} has frame {number} {times} times: {first_few(both, 3)}; keep one")
    there = set(numbers.values())
    missing = [str(i) for i in range(min(there), max(there)) if i not in there] if len(there) > 1 else []
    if missing:
        raise SRError(f"clip {folder} lacks frame {first_few(missing)}; add it, or split the clip there")
    return sorted(numbers, key=numbers.__getitem__)
