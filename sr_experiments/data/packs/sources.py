"""Which files of a folder a pack is made of, and whether they are still the same."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sr_experiments.data.image_files import EXTENSIONS as IMAGE_EXTENSIONS
from sr_experiments.errors import SRError
from sr_experiments.video.decode import EXTENSIONS as VIDEO_EXTENSIONS


class SourceFile(NamedTuple):
    """A file to pack: name relative to the folder, size in bytes, time of the last change in ns."""

    name: str
    bytes: int
    time: int


def scan(root: Path, only: Sequence[str] | None = None, videos: bool = True) -> list[SourceFile]:
    """The images and videos in a folder and below it, by name; links followed, hidden files not.

    Args:
        root: the folder.
        only: names of the subfolders to look into.
        videos: whether video files count.

    Raises:
        SRError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise SRError(f"no folder {root}: looked for images and videos there; check the path")
    extensions = (*IMAGE_EXTENSIONS, *(VIDEO_EXTENSIONS if videos else ()))
    starts = [(root, "")] if only is None else [(root / name, f"{name}/") for name in only]
    found = [file for start, below in starts for file in _files(start, below, extensions)]
    if not found:
        raise SRError(f"nothing to pack in {root} or below it: looked for {' '.join(extensions)}")
    return sorted(found)


def digest_of(files: Sequence[SourceFile]) -> str:
    """One value that is another if any name, size or time is another."""
    value = hashlib.sha256()
    for file in files:
        value.update(f"{file.name}\0{file.bytes}\0{file.time}\0".encode("utf-8", "surrogateescape"))
    return value.hexdigest()


def _files(folder: str | Path, below: str, extensions: tuple[str, ...]) -> Iterator[SourceFile]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # as where images are listed
    for entry in entries:
        name = entry.name
        if name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry.path, f"{below}{name}/", extensions)
        elif name.lower().endswith(extensions):
            try:
                state = entry.stat()
            except OSError:  # a link to nowhere: unreadable, like any other damage
                yield SourceFile(below + name, -1, -1)
            else:
                yield SourceFile(below + name, state.st_size, state.st_mtime_ns)
