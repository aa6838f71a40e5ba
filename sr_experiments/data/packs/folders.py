"""A folder of pictures as datasets see it, whether it is one of files or a pack of them."""

import itertools
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from sr_experiments.data.image_files import (
    EXTENSIONS,
    UnreadableImage,
    list_images,
    natural_key,
    read_image,
)
from sr_experiments.data.packs.cache import cached
from sr_experiments.data.packs.pack import INDEX, JOURNAL, Index, Pack
from sr_experiments.data.size_index import indexed_sizes
from sr_experiments.errors import SRError
from sr_experiments.video.decode import VideoFile


class FileFolder:
    """A folder of files.

    Args:
        root: where it is.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()

    @property
    def name(self) -> str:
        """Its own name."""
        return self.root.resolve().name

    def images(self) -> list[Path]:
        """All images in it and below it, as `list_images`."""
        return list_images(self.root)

    def walk(self) -> Iterator[tuple[Path, list[str]]]:
        """Every folder that isn't hidden, with the names of its files."""
        for parent, folders, files in os.walk(self.root, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield Path(parent), [name for name in files if not name.startswith(".")]

    def names(self, below: str) -> set[str]:
        """The names in one of its subfolders; none if it isn't there."""
        folder = self.root / below
        return {child.name for child in folder.iterdir()} if folder.is_dir() else set()

    def sizes(self, paths: Sequence[Path]) -> list[tuple[int, int] | UnreadableImage]:
        """(height, width) of images; what can't be read is returned in its place."""
        return indexed_sizes(self.root, paths)

    def read(self, path: Path, channels: int = 3) -> np.ndarray:
        """An image, uint8 (H, W, channels), or of a pack what gives it when it is sliced, as `Pack.read`.

        Raises:
            UnreadableImage: it is missing or damaged.
        """
        return read_image(path, channels)

    def video(self, path: Path, name: str, channels: int = 3) -> "VideoFile | PackedVideo":
        """A video as a clip.

        Raises:
            UnreadableImage: it is missing or damaged.
        """
        return VideoFile(path, name, channels)


class PackFolder(FileFolder):
    """A pack, or a subfolder within it, that stands for the folder it was made of.

    Args:
        pack: the pack.
        root: path that stands for it, of which all paths are made.
        below: of a subfolder, its name relative to the pack.
    """

    def __init__(self, pack: Pack, root: str | Path, below: str = "") -> None:
        super().__init__(root)
        self.pack = pack
        self.below = f"{below}/" if below else ""

    @property
    def name(self) -> str:
        """The name of the folder it was made of."""
        return (self.pack.index.source / self.below).name

    def images(self) -> list[Path]:
        """All images in it and below it, in the order of `list_images`."""
        found = [name for name in self._under(self.below) if name.lower().endswith(EXTENSIONS)]
        if not found:
            raise SRError(f"no images in {self.root}, a pack of {self.pack.index.source}")
        return [self.root / name for name in sorted(found, key=natural_key)]

    def walk(self) -> Iterator[tuple[Path, list[str]]]:
        """Every folder that holds something, with the names of its files."""
        found: dict[str, list[str]] = {}
        for name in self._under(self.below):
            parent, _, file = name.rpartition("/")
            found.setdefault(parent, []).append(file)
        for parent, files in found.items():
            yield self.root / parent, files

    def names(self, below: str) -> set[str]:
        """The names in one of its subfolders."""
        return {name.partition("/")[0] for name in self._under(f"{self.below}{below}/")}

    def sizes(self, paths: Sequence[Path]) -> list[tuple[int, int] | UnreadableImage]:
        """(height, width) of images, from the index."""
        found: list[tuple[int, int] | UnreadableImage] = []
        for path in paths:
            try:
                found.append(self.pack.size(self._name(path)))
            except UnreadableImage as error:
                found.append(error)
        return found

    def read(self, path: Path, channels: int = 3) -> np.ndarray:
        """An image, of which nothing is read before it is sliced."""
        return self.pack.read(self._name(path), channels)

    def video(self, path: Path, name: str, channels: int = 3) -> "PackedVideo":
        """A video as a clip."""
        return PackedVideo(self.pack, self._name(path), path, name, channels)

    def _under(self, start: str) -> Iterator[str]:
        """What follows a beginning of names, which are in order."""
        names = self.pack.index.names
        for name in itertools.islice(names, bisect_left(names, start), None):
            if not name.startswith(start):
                break
            yield name[len(start) :]

    def _name(self, path: Path) -> str:
        return self.below + path.relative_to(self.root).as_posix()


class PackedVideo:
    """The frames of a video, from a pack; a clip like `VideoFile`.

    Args:
        pack: the pack.
        packed: the file's name there.
        path: that stands for it.
        name: of the clip.
        channels: 3 for RGB, 1 for grey.
    """

    def __init__(self, pack: Pack, packed: str, path: Path, name: str, channels: int = 3) -> None:
        self.path = path
        self.name = name
        self.frames = pack.frames(packed)
        self.size = pack.size(packed)
        self._read = partial(pack.read, packed, channels)

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Frames by number, each uint8 (H, W, channels), read when they are sliced.

        Raises:
            UnreadableImage: one of them couldn't be read when it was packed.
        """
        return [self._read(index) for index in indices]


def open_folder(
    root: str | Path,
    cache: str | Path | None = None,
    on_error: str = "stop",
    only: Sequence[str] | None = None,
    videos: bool = False,
) -> FileFolder:
    """The folder at a path: of files, a pack, a subfolder of a pack, or of files that are packed first.

    Args:
        root: the path.
        cache: folder of packs to use, and to make where there is none of the folder yet; if not given, none.
        on_error: what packing does at a file that can't be read: "stop" or "skip".
        only: names of the subfolders that are used, so that no others are packed.
        videos: whether video files are used.

    Raises:
        SRError: a pack that isn't complete or is damaged; what `pack` raises.
    """
    path = Path(root).expanduser()
    found = _pack_at(path)
    if found:
        return PackFolder(Pack(found[0]), path, found[1])
    if (path / JOURNAL).is_file():
        raise SRError(f"packing {path} was interrupted: go on with the same sr pack command")
    if cache is None or not path.is_dir():
        return FileFolder(path)
    return PackFolder(cached(path, Path(cache), on_error, only, videos), path)


def is_folder(path: Path) -> bool:
    """Whether there is such a folder, be it in a pack."""
    found = None if path.is_dir() else _pack_at(path)
    if found is None:
        return path.is_dir()
    return any(name.startswith(f"{found[1]}/") for name in Index.read(found[0]).names)


def _pack_at(path: Path) -> tuple[Path, str] | None:
    """The pack that a path leads to or into, and the way from there."""
    if path.is_dir():
        return (path, "") if (path / INDEX).is_file() else None
    for folder in path.parents:
        if folder.is_dir():
            return (folder, path.relative_to(folder).as_posix()) if (folder / INDEX).is_file() else None
    return None
