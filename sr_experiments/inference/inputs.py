"""What there is to upscale, and where each result goes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_experiments.data import image_files
from sr_experiments.data.image_files import natural_key
from sr_experiments.errors import SRError
from sr_experiments.video import decode

IMAGES = tuple(image_files.EXTENSIONS)
VIDEOS = tuple(decode.EXTENSIONS)


@dataclass(frozen=True)
class Work:
    """A file or a folder of frames, and what is to be made of it."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Sources:
    """What the user named.

    Attributes:
        images: image files, in natural order.
        videos: video files, likewise.
        root: the folder that they lie in or below; None for a single file.
    """

    images: list[Path]
    videos: list[Path]
    root: Path | None

    def frame_folders(self) -> list[Path]:
        """The folders that images lie in."""
        return list(dict.fromkeys(path.parent for path in self.images))


def find(names: Sequence[str]) -> Sources:
    """Images and videos that paths or globs (`**` for any depth) name.

    Args:
        names: one file, folder or glob; or several files, as a shell makes of a glob.

    Raises:
        SRError: there is none.
    """
    path = Path(names[0]).expanduser()
    root: Path | None = None
    if len(names) > 1:
        files = [Path(name).expanduser() for name in names]
        absent = [file for file in files if not file.is_file()]
        if absent:
            raise SRError(f"{absent[0]} is no file: give several files, or one folder or glob")
        root = Path(os.path.commonpath([file.parent for file in files]))
    elif path.is_file():
        files = [path]
    elif path.is_dir():
        files, root = _below(path), path
    elif any(map(_is_pattern, path.parts)):
        depth = next(i for i, part in enumerate(path.parts) if _is_pattern(part))
        root = Path(*path.parts[:depth])
        files = [file for file in root.glob(str(Path(*path.parts[depth:]))) if file.is_file()]
    else:
        raise SRError(f"no {path}: give an image, a video, a folder or a glob")
    files.sort(key=lambda file: natural_key(file.as_posix()))
    images = [file for file in files if file.suffix.lower() in IMAGES]
    videos = [file for file in files if file.suffix.lower() in VIDEOS]
    if not images and not videos:
        known = " ".join((*IMAGES, *VIDEOS))
        what = f"{path} is neither an image nor a video" if path.is_file() else f"no images or videos in {path}"
        raise SRError(f"{what}: known are {known}")
    return Sources(images, videos, root)


def _is_pattern(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def pair(sources: Sequence[Path], root: Path | None, output: Path, extension: str | None = None) -> list[Work]:
    """Each source with its target: `output` itself for one file, the same tree below it for others.

    Args:
        sources: files.
        root: of the tree; None if the source is one file.
        output: what the user gave.
        extension: of the targets, with or without its dot; None for the source's.

    Raises:
        SRError: two sources with one target, or a target that is its own source.
    """
    works, taken = [], dict[Path, Path]()
    for source in sources:
        if root is None and output.suffix and not output.is_dir():
            target = output
        else:
            relative = Path(source.name) if root is None else source.relative_to(root)
            target = output / (relative if extension is None else relative.with_suffix("." + extension.lstrip(".")))
        if target in taken:
            raise SRError(f"{taken[target]} and {source} would both become {target}: rename one")
        if target.exists() and source.exists() and target.samefile(source):
            raise SRError(f"{source} would be replaced by its own result: choose another --output")
        taken[target] = source
        works.append(Work(source, target))
    return works


def missing(works: Sequence[Work], overwrite: bool, resume: bool) -> list[Work]:
    """The works to be done.

    Raises:
        SRError: some are done already, and the user said neither that they may be replaced nor that they are right.
    """
    done = [work for work in works if work.target.exists()]
    if overwrite or not done:
        return list(works)
    if resume:
        return [work for work in works if work not in done]
    what = f"{done[0].target} exists" if len(done) == 1 else f"{len(done)} outputs exist, {done[0].target} the first"
    only = ", or --resume to make only those that are missing" if len(works) > 1 else ""
    raise SRError(f"{what}: give --overwrite to replace{only}")


def _below(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return found
