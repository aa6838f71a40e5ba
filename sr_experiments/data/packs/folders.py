"""Folders as datasets see them: of image and video files, or a pack of those."""

import hashlib
import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from sr_experiments.data.depth import Bits
from sr_experiments.data.image_files import (
    EXTENSIONS,
    Size,
    image_layout,
    list_images,
    natural_key,
    read_image,
    result_or_error,
    walk_images,
)
from sr_experiments.data.packs.pack import INDEX, JOURNAL, Index, Pack
from sr_experiments.data.packs.packing import pack, scan
from sr_experiments.data.size_index import indexed_sizes
from sr_experiments.errors import SRError
from sr_experiments.video.decode import VideoFile
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS


class FileFolder:
    """A folder of files."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.root.resolve().name

    def images(self) -> list[Path]:
        """List all images in the folder and below it, as `list_images`."""
        return list_images(self.root)

    def by_name(self) -> dict[str, Path]:
        """Return the images by their names relative to the folder."""
        return {path.relative_to(self.root).as_posix(): path for path in self.images()}

    def walk(self) -> Iterator[tuple[Path, list[str]]]:
        """Yield every folder that has images or videos with their names; log what is left out."""
        found = walk_images(self.root, VIDEO_EXTENSIONS)
        found.log_left_out()
        for parent, files in found.folders.items():
            yield Path(parent), files

    def names(self, below: str) -> set[str]:
        """Return the names in a subfolder; none if there is no such subfolder."""
        folder = self.root / below
        return {child.name for child in folder.iterdir()} if folder.is_dir() else set()

    def sizes(self, paths: Sequence[Path]) -> list[Size]:
        """Return (height, width) of images; errors are returned in place of sizes."""
        return indexed_sizes(self.root, paths)

    def read(self, path: Path, channels: int = 3, bits: Bits = 8) -> np.ndarray:
        """Read an image, (H, W, channels) of a depth; in a pack, pixels are read only when it is sliced (`Pack.read`).

        Raises:
            UnreadableImage: the image is missing or damaged.
        """
        return read_image(path, channels, bits)

    def layout(self, path: Path) -> tuple[Bits, int]:
        """Return the depth of an image and its channels, 3 or its bands, from its header; raises as `read`."""
        return image_layout(path)

    def video(self, path: Path, name: str, channels: int = 3) -> "VideoFile | PackedVideo":
        """Open a video as a clip, or raise UnreadableImage if it is missing or damaged."""
        return VideoFile(path, name, channels)


class PackFolder(FileFolder):
    """A pack, or the subfolder `below` of one, in place of the folder that was packed; its paths start with `root`."""

    def __init__(self, pack: Pack, root: str | Path, below: str = "") -> None:
        super().__init__(root)
        self.pack = pack
        self.below = f"{below}/" if below else ""

    @property
    def name(self) -> str:
        """Name of the folder that was packed."""
        return (self.pack.index.source / self.below).name

    def images(self) -> list[Path]:
        """List all images in the folder and below it, in the order of `list_images`."""
        found = [name for name in self._names_below(self.below) if name.lower().endswith(EXTENSIONS)]
        if not found:
            raise SRError(f"no images in {self.root}, a pack of {self.pack.index.source}")
        return [self.root / name for name in sorted(found, key=natural_key)]

    def by_name(self) -> dict[str, Path]:
        """Return the images by their names relative to the folder."""
        return {path.relative_to(self.root).as_posix(): path for path in self.images()}

    def walk(self) -> Iterator[tuple[Path, list[str]]]:
        """Yield every folder that is not empty with the names of its files."""
        found: dict[str, list[str]] = {}
        for name in self._names_below(self.below):
            parent, _, file = name.rpartition("/")
            found.setdefault(parent, []).append(file)
        for parent, files in found.items():
            yield self.root / parent, files

    def names(self, below: str) -> set[str]:
        """Return the names in a subfolder."""
        return {name.partition("/")[0] for name in self._names_below(f"{self.below}{below}/")}

    def sizes(self, paths: Sequence[Path]) -> list[Size]:
        """Return (height, width) of images from the index; errors are returned in place of sizes."""
        return [result_or_error(self.pack.size, self._name(path)) for path in paths]

    def read(self, path: Path, channels: int = 3, bits: Bits = 8) -> np.ndarray:
        """Return an image whose pixels are read when it is sliced."""
        return self.pack.read(self._name(path), channels, bits=bits)

    def layout(self, path: Path) -> tuple[Bits, int]:
        """Return the depth and the channels of the pack."""
        return self.pack.index.bits, self.pack.index.channels

    def video(self, path: Path, name: str, channels: int = 3) -> "PackedVideo":
        """Open a video as a clip."""
        return PackedVideo(self.pack, self._name(path), path, name, channels)

    def _names_below(self, prefix: str) -> Iterator[str]:
        """Yield the names that start with a prefix, without it."""
        names = self.pack.index.names  # sorted, so that those with a common prefix follow each other
        for name in itertools.islice(names, bisect_left(names, prefix), None):
            if not name.startswith(prefix):
                break
            yield name[len(prefix) :]

    def _name(self, path: Path) -> str:
        return self.below + path.relative_to(self.root).as_posix()


class PackedVideo:
    """Clip of the frames of a video in a pack, where it is called `packed`, in place of a `VideoFile`."""

    def __init__(self, pack: Pack, packed: str, path: Path, name: str, channels: int = 3) -> None:
        self.path = path
        self.name = name
        self.frames = pack.frames(packed)
        self.size = pack.size(packed)
        self._read = partial(pack.read, packed, channels)

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Return frames by number, each uint8 (H, W, channels), whose pixels are read when they are sliced."""
        return [self._read(index) for index in indices]


def open_folder(
    root: str | Path,
    cache: str | Path | None = None,
    on_error: str = "stop",
    only: Sequence[str] | None = None,
    videos: bool = False,
    bits: Bits = 8,
    channels: int = 3,
) -> FileFolder:
    """Open the folder at a path: a folder of files, a pack, a subfolder of a pack, or files that are packed first.

    Args:
        root: the path.
        cache: cache folder, where a pack of the folder is used, or made if there is none; None to read the files.
        on_error: what packing does at a file that can't be read: "stop" or "skip".
        only: names of the subfolders that will be used, so that others are not packed.
        videos: whether video files will be used.
        bits: depth that a pack in the cache has.
        channels: with which it will be read; a pack in the cache has RGB, or as many bands.

    Raises:
        SRError: a pack is incomplete or damaged, or as raised by `pack`.
    """
    path = Path(root).expanduser()
    found = _find_pack(path)
    if found:
        return PackFolder(Pack(found[0]), path, found[1])
    if (path / JOURNAL).is_file():
        raise SRError(f"packing {path} was interrupted: continue with the same sr pack command")
    if cache is None or not path.is_dir():
        return FileFolder(path)
    source = path.resolve()
    # A folder without videos has one pack, whether videos were asked for or not.
    videos = any(file.name.lower().endswith(VIDEO_EXTENSIONS) for file in scan(source, only, videos))
    stored = channels if channels not in (1, 3) else 3
    layout = [] if (bits, stored) == (8, 3) else [f"bits={bits}", f"channels={stored}"]
    parts = [str(source), str(videos), *layout, *(only or [])]
    key = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape"))
    target = Path(cache) / f"{source.name}-{key.hexdigest()[:16]}"
    packed = pack(
        source,
        target,
        on_error=on_error,
        only=only,
        videos=videos,
        option="data.cache=<folder>",
        bits=bits,
        channels=stored,
    )
    return PackFolder(packed, path)


def is_folder(path: Path) -> bool:
    """Return whether a folder exists, on disk or in a pack."""
    found = None if path.is_dir() else _find_pack(path)
    if found is None:
        return path.is_dir()
    return any(name.startswith(f"{found[1]}/") for name in Index.read(found[0]).names)


def _find_pack(path: Path) -> tuple[Path, str] | None:
    """Return the pack at or above a path, and the path relative to it; None if there is no pack."""
    if path.is_dir():
        return (path, "") if (path / INDEX).is_file() else None
    for folder in path.parents:
        if folder.is_dir():
            return (folder, path.relative_to(folder).as_posix()) if (folder / INDEX).is_file() else None
    return None
