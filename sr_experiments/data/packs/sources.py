"""The source files of a pack, and a digest by which changes of them are detected."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sr_experiments.data.image_files import EXTENSIONS as IMAGE_EXTENSIONS
from sr_experiments.data.image_files import walk
from sr_experiments.errors import SRError
from sr_experiments.video.decode import EXTENSIONS as VIDEO_EXTENSIONS


class SourceFile(NamedTuple):
    """A file to pack: name relative to the folder, size in bytes, modification time in ns."""

    name: str
    bytes: int
    time: int


def scan(root: Path, only: Sequence[str] | None = None, videos: bool = True) -> list[SourceFile]:
    """List the images and videos in a folder and below it, sorted by name; follows links, skips hidden files.

    Args:
        root: the folder.
        only: names of the subfolders to search.
        videos: whether to include video files.

    Raises:
        SRError: no such folder, or no files in it.
    """
    if not root.is_dir():
        raise SRError(f"no folder {root}: looked for images and videos there; check the path")
    extensions = (*IMAGE_EXTENSIONS, *(VIDEO_EXTENSIONS if videos else ()))
    start = len(str(root)) + 1
    paths = [
        f"{parent}/{name}"
        for folder in ([root] if only is None else [root / name for name in only])
        for parent, files in walk(folder)
        for name in files
        if name.lower().endswith(extensions)
    ]
    if not paths:
        raise SRError(f"nothing to pack in {root} or below it: looked for {' '.join(extensions)}")
    return sorted(_source_file(path, path[start:]) for path in paths)


def digest_of(files: Sequence[SourceFile]) -> str:
    """Return a digest that changes if any name, size or time changes."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.bytes}\0{file.time}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _source_file(path: str, name: str) -> SourceFile:
    try:
        status = Path(path).stat()
    except OSError:  # a dangling link: it is unreadable, like any other damaged file
        return SourceFile(name, -1, -1)
    return SourceFile(name, status.st_size, status.st_mtime_ns)
