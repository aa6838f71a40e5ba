"""HR images or clips to measure on, paired by name with LR and with finished pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sr_experiments.data.clips import Clip
from sr_experiments.data.depth import Bits, deepest
from sr_experiments.data.image_files import (
    EXTENSIONS,
    UnreadableImage,
    image_header,
    image_size,
    image_sizes,
    list_images,
    read_image,
    say_pages,
    walk_images,
)
from sr_experiments.data.images import crop_to_multiple, image_name
from sr_experiments.data.packs.folders import FileFolder
from sr_experiments.data.paired import PairedValidation, open_pair, scale_folder
from sr_experiments.data.training_crops import first_few
from sr_experiments.data.videos import VideoValidation, open_frames
from sr_experiments.errors import SRError
from sr_experiments.evaluation.pairing import pair_finished
from sr_experiments.files.walk import is_left_out
from sr_experiments.video.decode import VideoFile
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS

Reader = Callable[[int], np.ndarray]  # number of a frame to (H, W, C); of clips uint8


@dataclass
class Scene:
    """An image, which is one frame, or a clip."""

    name: str  # unique
    frames: int  # their number
    size: tuple[int, int]  # (height, width) of HR, multiples of the scale
    hr: Reader  # reads a frame
    lr: Reader | None  # reads a frame, or None where LR is made from HR
    path: Path  # of HR


def holds_clips(root: Path) -> bool:
    """Return whether a path is a video, or a folder of videos or of folders only."""
    if root.is_file():
        return root.suffix.lower() in VIDEO_EXTENSIONS
    if not root.is_dir():
        return False
    here = [path for path in root.iterdir() if not is_left_out(path.name)]
    if any(path.suffix.lower() in EXTENSIONS for path in here):
        return False
    return any(path.is_dir() or path.suffix.lower() in VIDEO_EXTENSIONS for path in here)


def infer_scale(hr: Path, lr: Path, clips: bool) -> int:
    """Infer the scale from the sizes of the first image or clip of both.

    Raises:
        SRError: it is no whole number, or there is LR of several scales.
    """
    of_scales = [path for path in lr.glob("[Xx][0-9]") if path.is_dir()]
    if len(of_scales) > 1:
        raise SRError(f"{lr} holds {', '.join(sorted(path.name for path in of_scales))}: choose with --scale")
    if clips:
        (height, width), (lr_height, lr_width) = _open_clips(hr)[0].size, _open_clips(lr)[0].size
    else:
        (height, width), (lr_height, lr_width) = (image_size(list_images(root)[0]) for root in (hr, lr))
    scale = round(height / lr_height)
    if scale < 1 or (height // scale, width // scale) != (lr_height, lr_width):
        raise SRError(
            f"can't tell the scale of {hr} ({width}x{height}) and {lr} ({lr_width}x{lr_height}): give --scale"
        )
    return scale


def layout_of_images(root: Path, limit: int | None, channels: int | None) -> tuple[Bits, int]:
    """Return the depth of the deepest image of a folder, and the channels: those given, else those of the first.

    A line says that only the first of several pages is read.

    Raises:
        SRError: no images, or an unreadable one.
    """
    headers = {path: image_header(path) for path in list_images(root)[:limit]}
    channels = channels or next(iter(headers.values())).channels
    if channels in (1, 3):
        say_pages({path: header.pages for path, header in headers.items()})
    return deepest({header.depth for header in headers.values()}), channels


def image_scenes(
    hr: Path, lr: Path | None, scale: int, channels: int, limit: int | None, bits: Bits = 8
) -> list[Scene]:
    """List the images of a folder, cropped at the bottom and the right to multiples of the scale, read at a depth.

    Raises:
        SRError: no images, an unreadable one, or names or sizes that don't pair.
    """
    if lr is None:
        paths: list[tuple[Path, Path | None]] = [(path, None) for path in list_images(hr)[:limit]]
    else:
        paths = list(PairedValidation(str(hr), str(lr), scale, limit=limit).pairs)
    names = [image_name(path, hr) for path, _ in paths]
    sizes = _sizes([path for path, _ in paths])
    scenes = []
    for name, (path, lr_path), (height, width) in zip(names, paths, sizes, strict=True):
        unique = path.name if names.count(name) > 1 else name
        size = height // scale * scale, width // scale * scale
        lr_reader = None if lr_path is None else _image_reader(lr_path, channels, bits)
        scenes.append(Scene(unique, 1, size, _image_reader(path, channels, bits, scale), lr_reader, path))
    return scenes


def finished_images(
    scenes: Sequence[Scene],
    hr: Path,
    sr: Path,
    scale: int,
    channels: int,
    suffix: str | None = None,
    bits: Bits = 8,
) -> dict[str, Reader]:
    """Pair finished pictures with scenes, as `pair_finished`: their readers, by the name of the scene.

    Raises:
        SRError: names or sizes don't pair, or a picture is unreadable.
    """
    hr_paths, sr_paths = (folder.by_name() for folder in open_pair(str(hr), str(sr), scale))
    pairs = pair_finished(list(hr_paths), list(sr_paths), scale, suffix)
    of_hr = {path: sr_paths[pairs[name]] for name, path in hr_paths.items()}
    wanted = [of_hr[scene.path] for scene in scenes]
    for scene, path, size in zip(scenes, wanted, _sizes(wanted), strict=True):
        _check_size(scene, path, size, scale)
    readers = (partial(_read_clipped, path, channels, bits) for path in wanted)
    return {scene.name: reader for scene, reader in zip(scenes, readers, strict=True)}


def clip_scenes(
    hr: Path, lr: Path | None, scale: int, channels: int, limit: int | None, frames: int | None
) -> list[Scene]:
    """List the clips of a folder: folders of frames, and videos; a folder of frames only is one clip.

    Raises:
        SRError: no clips, a damaged or incomplete one, or clips that don't pair.
    """
    clips = _open_clips(hr, channels)[:limit]
    scenes = []
    for clip in clips:
        size = clip.size[0] // scale * scale, clip.size[1] // scale * scale
        count = clip.frames if frames is None else min(frames, clip.frames)
        scenes.append(Scene(clip.name, count, size, _clip_reader(clip, scale), None, clip.path))
    if lr is not None:
        lr_clips = {clip.name: clip for clip in _open_clips(scale_folder(lr, scale), channels)}
        of_hr = _pair_clips(clips, lr_clips, "LR", limit)
        for scene, clip in zip(scenes, clips, strict=True):
            lr_clip = of_hr[clip.name]
            wanted = scene.size[0] // scale, scene.size[1] // scale
            if lr_clip.size != wanted:
                raise SRError(
                    f"{clip.path} is {_words(clip.size)}, so for scale={scale} {lr_clip.path} should be "
                    f"{_words(wanted)}, but it is {_words(lr_clip.size)}"
                )
            scene.lr = _clip_reader(lr_clip)
    return scenes


def finished_clips(
    scenes: Sequence[Scene], hr: Path, sr: Path, scale: int, channels: int, limit: int | None, suffix: str | None = None
) -> dict[str, Reader]:
    """Pair finished clips with scenes; returns and raises as `finished_images`."""
    hr_clips, sr_clips = _open_clips(hr, channels), {clip.name: clip for clip in _open_clips(sr, channels)}
    if len(hr_clips) > 1 or len(sr_clips) > 1:
        pairs = pair_finished([clip.name for clip in hr_clips], list(sr_clips), scale, suffix, extensions=False)
        sr_clips = {name: sr_clips[found] for name, found in pairs.items()}
    of_hr = _pair_clips(hr_clips[:limit], sr_clips, "SR", limit)
    for scene in scenes:
        _check_size(scene, of_hr[scene.name].path, of_hr[scene.name].size, scale)
    return {scene.name: _clip_reader(of_hr[scene.name]) for scene in scenes}


def _open_clips(root: Path, channels: int = 3) -> list[Clip]:
    if root.is_file():
        return [VideoFile(root, channels=channels)]
    if root.is_dir():
        found = walk_images(root, VIDEO_EXTENSIONS)
        if list(found.folders) == [str(root)] and all(
            name.lower().endswith(EXTENSIONS) for name in found.folders[str(root)]
        ):
            found.log_left_out()
            return [open_frames(FileFolder(root), root, found.folders[str(root)], root.resolve().name, channels)]
    return VideoValidation(1, channels, root=str(root)).hr_clips


def _pair_clips(clips: Sequence[Clip], by_name: dict[str, Clip], kind: str, limit: int | None) -> dict[str, Clip]:
    """Pair clips by name, and a single clip with a single clip whatever their names; by the HR clip's name."""
    if len(clips) == 1 and len(by_name) == 1:
        by_name = {clips[0].name: next(iter(by_name.values()))}
    odd = [f"HR clip {clip.name} has no {kind}" for clip in clips if clip.name not in by_name]
    if limit is None:
        odd += [f"{kind} clip {name} has no HR" for name in by_name if name not in {clip.name for clip in clips}]
    if odd:
        raise SRError(f"HR and {kind} clips don't pair by name: {first_few(odd)}")
    for clip in clips:
        other = by_name[clip.name]
        if other.frames != clip.frames:
            raise SRError(f"{clip.path} has {clip.frames} frames, {other.path} has {other.frames}: use the same ones")
    return by_name


def _check_size(scene: Scene, path: Path, size: tuple[int, int], scale: int) -> None:
    """Refuse a finished picture that has neither HR's size nor that of HR cropped to whole LR pixels."""
    if (size[0] // scale * scale, size[1] // scale * scale) != scene.size:
        raise SRError(
            f"{path} is {_words(size)}, but for scale={scale} {scene.path} asks for {_words(scene.size)}: "
            "measure pictures of the size of HR"
        )


def _image_reader(path: Path, channels: int, bits: Bits, scale: int = 1) -> Reader:
    return lambda _: crop_to_multiple(read_image(path, channels, bits), scale, path)


def _read_clipped(path: Path, channels: int, bits: Bits, _: int) -> np.ndarray:
    """Read a finished picture, of which a network may have made numbers beyond black and white."""
    return read_image(path, channels, bits, clip=True)


def _clip_reader(clip: Clip, scale: int = 1) -> Reader:
    return lambda frame: crop_to_multiple(clip.read([frame])[0], scale, clip.name)


def _sizes(paths: Sequence[Path]) -> list[tuple[int, int]]:
    sizes = []
    for size in image_sizes(paths):
        if isinstance(size, UnreadableImage):
            raise size
        sizes.append(size)
    return sizes


def _words(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
