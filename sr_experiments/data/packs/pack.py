"""The pack format: all pixels of a folder of images and videos in one file, from which a crop reads only its rows.

`pixels-<digest>.u8` contains 8-bit RGB, one image after the other, `.u16` 16 bits per channel, `.f32` floating-point
numbers, little-endian, of RGB or of all bands; `pack.index` contains the position of each, with
checksums and a record of the source files. The pixel file is memory-mapped, so processes share the system's cache of
it and opening a pack reads only the index. The index is written last: a folder with an index is complete.

Measured with crops of 128x128 from 24 images of 2040x1356, in one thread: 53,000 crops per second from one raw file,
7,000 from one .npy file per image (opened each time, since too many handles would have to be kept), 1,400 from zarr 3
in chunks of 128x128, 500 to 700 with compressed chunks, which save a fifth of the space for photographs.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sr_experiments.data.depth import DTYPES, Bits, to_channels, to_depth
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing

INDEX = "pack.index"
JOURNAL = "pack.journal"  # present while a pack is incomplete
LOCK = "pack.lock"  # held while a pack is written
VERSION = 1  # of the index
DEEP_VERSION = 2  # of one whose pixels are not 8-bit RGB, which earlier programs would misread
WHOLE_FILE = -1  # in place of a frame number

_COLUMNS = ("height", "width", "frames", "offset", "checksum", "source_bytes", "source_time")
_SOURCES_CHECKED = 5000  # source files that are checked for changes when a pack is opened: takes milliseconds
_CHUNK = 1 << 24  # bytes of pixels per step of a checksum
_SUFFIXES: dict[Bits, str] = {8: "u8", 16: "u16", "float": "f32"}


@dataclass
class Index:
    """Table of contents of a pack, with a row per source file.

    The columns are int64 (rows,) each: `height`, `width`, `frames` (1 for an image), `offset` in bytes, `checksum`
    (CRC-32 of all pixels; unreadable frames are black), `source_bytes` and `source_time` (ns) of the file.
    """

    source: Path  # the folder that was packed
    digest: str  # of the names, sizes and modification times of its files
    names: list[str]  # of the files relative to the source, sorted
    columns: dict[str, np.ndarray]
    unreadable: dict[tuple[int, int], str]  # messages by row and frame, WHOLE_FILE if nothing of a file can be read
    bits: Bits = 8  # depth of the pixels
    channels: int = 3  # of a pixel: RGB, or all bands

    @property
    def pixels_name(self) -> str:
        """Name of the pixel file, which depends on the source files, so that an old one is never mistaken for it."""
        return f"pixels-{self.digest[:12]}.{_SUFFIXES[self.bits]}"

    @property
    def pixel_bytes(self) -> int:
        """Number of bytes of a pixel."""
        return self.channels * np.dtype(DTYPES[self.bits]).itemsize

    @property
    def bytes_of(self) -> np.ndarray:
        """Number of bytes of the pixels of each row."""
        return self.columns["height"] * self.columns["width"] * self.columns["frames"] * self.pixel_bytes

    def write(self, folder: Path) -> None:
        """Write `pack.index` atomically."""
        meta = {
            "version": VERSION if (self.bits, self.channels) == (8, 3) else DEEP_VERSION,
            "source": str(self.source),
            "digest": self.digest,
            "unreadable": [[row, frame, message] for (row, frame), message in self.unreadable.items()],
        }
        if meta["version"] == DEEP_VERSION:
            meta |= {"bits": self.bits, "channels": self.channels}
        texts = {"meta": json.dumps(meta), "names": "\0".join(self.names)}
        arrays = {key: np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8) for key, text in texts.items()}
        with replacing(folder / INDEX) as temporary, temporary.open("wb") as file:
            content: dict[str, Any] = {**arrays, **self.columns}
            np.savez(file, **content)

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Read `pack.index`.

        Raises:
            SRError: the index is damaged, or of another version.
        """
        path = folder / INDEX
        try:
            with np.load(path, allow_pickle=False) as file:
                meta = json.loads(bytes(file["meta"]))
                names = bytes(file["names"]).decode("utf-8", "surrogateescape").split("\0")
                columns = {key: file[key].astype(np.int64) for key in _COLUMNS}
            if meta["version"] not in (VERSION, DEEP_VERSION):
                raise SRError(f"{path} has version {meta['version']} instead of {VERSION}: pack the folder again")
            layout: tuple[Any, int] = (meta.get("bits", 8), int(meta.get("channels", 3)))
            unreadable = {(int(row), int(frame)): str(message) for row, frame, message in meta["unreadable"]}
            index = cls(Path(meta["source"]), str(meta["digest"]), names, columns, unreadable, *layout)
            if (
                layout[0] not in DTYPES
                or {len(column) for column in columns.values()} != {len(names)}
                or not index.digest.isalnum()
            ):
                raise ValueError("its parts don't match")
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            reason = " ".join(str(error).split())
            raise SRError(f"{path} is damaged ({reason}): remove {folder} and pack the folder again") from error
        return index


class Pack:
    """Images and videos of a pack. It can be pickled; every process maps the pixel file when it first reads from it.

    Args:
        folder: folder of the pack.
        check_sources: whether to check that the source files have not changed.

    Raises:
        SRError: the pack is incomplete or damaged, or its source has changed.
    """

    def __init__(self, folder: str | Path, check_sources: bool = True) -> None:
        self.folder = Path(folder).expanduser()
        if not (self.folder / INDEX).is_file():
            raise SRError(f"no pack in {self.folder}: make one with sr pack <folder> {self.folder}")
        self.index = Index.read(self.folder)
        self.rows = {name: row for row, name in enumerate(self.index.names)}
        self.pixels_path = self.folder / self.index.pixels_name
        self._again = f"sr pack {self.index.source} {self.folder}"
        self._pixels: np.ndarray | None = None
        size = self.pixels_path.stat().st_size if self.pixels_path.is_file() else 0
        needed = int((self.index.columns["offset"] + self.index.bytes_of).max())
        if size != needed:
            raise SRError(
                f"{self.pixels_path} has {size} bytes instead of {needed}: damaged or cut off; "
                f"remove {self.folder} and pack again with {self._again}"
            )
        changed = self.changed_sources(_SOURCES_CHECKED) if check_sources else []
        if changed:
            raise SRError(
                f"{self.index.source / changed[0]} has changed since it was packed into {self.folder}: "
                f"pack again with {self._again}"
            )

    def size(self, name: str) -> tuple[int, int]:
        """Return (height, width) of an image, or of the frames of a video.

        Raises:
            UnreadableImage: the file can't be read, or is not in the pack.
        """
        row = self._row(name)
        return int(self.index.columns["height"][row]), int(self.index.columns["width"][row])

    def frames(self, name: str) -> int:
        """Return the number of frames of a video, or 1 for an image."""
        return int(self.index.columns["frames"][self._row(name)])

    def read(self, name: str, channels: int = 3, frame: int = 0, bits: Bits = 8) -> np.ndarray:
        """Return an image, or a frame of a video: (H, W, channels) of a depth, to be sliced or read by `np.asarray`.

        Its pixels are read, and converted to the depth, and to grey (BT.601 luma) for 1 channel, only when it is
        sliced. It is not writable.

        Raises:
            UnreadableImage: the file could not be read when it was packed, is not in the pack, or has other channels.
        """
        row = self._row(name)
        if (row, frame) in self.index.unreadable:
            raise UnreadableImage(self.index.unreadable[row, frame])
        columns = self.index.columns
        height, width = int(columns["height"][row]), int(columns["width"][row])
        own = self.index.channels
        if own != channels and {own, channels} != {1, 3}:
            raise UnreadableImage(
                f"{self.folder} holds {own} channels per pixel, and channels={channels} needs as many"
            )
        size = height * width * self.index.pixel_bytes
        start = int(columns["offset"][row]) + frame * size
        stored = self._mapped()[start : start + size]
        if (self.index.bits, own) != (8, 3):
            stored = stored.view(np.dtype(DTYPES[self.index.bits]).newbyteorder("<"))
        image = stored.reshape(height, width, own)
        unchanged = own == channels and self.index.bits == bits
        return image if unchanged else _View(image, channels, bits)  # type: ignore[return-value]

    def changed_sources(self, most: int | None = None) -> list[str]:
        """Return the source files whose size or time has changed since packing; deleted files do not count.

        At most `most` files are checked, evenly spread, or all.
        """
        if not self.index.source.is_dir():
            return []
        names, columns = self.index.names, self.index.columns
        rows = np.unique(np.linspace(0, len(names) - 1, min(most or len(names), len(names))).astype(int))
        changed = []
        for row in rows:
            try:
                status = (self.index.source / names[row]).stat()
            except OSError:
                continue
            if (status.st_size, status.st_mtime_ns) != (columns["source_bytes"][row], columns["source_time"][row]):
                changed.append(names[row])
        return changed

    def damaged(self, report: Callable[[int], Any] = lambda size: None) -> Iterator[str]:
        """Read all pixels and yield the names of files whose checksum does not match; report each one's bytes."""
        pixels, columns = self._mapped(), self.index.columns
        for row, name in enumerate(self.index.names):
            size, start = int(self.index.bytes_of[row]), int(columns["offset"][row])
            checksum = 0
            for chunk in range(start, start + size, _CHUNK):
                checksum = zlib.crc32(pixels[chunk : min(chunk + _CHUNK, start + size)].data, checksum)
            if checksum != columns["checksum"][row]:
                yield name
            report(size)

    def _row(self, name: str) -> int:
        row = self.rows.get(name)
        if row is None:
            raise UnreadableImage(f"{self.index.source / name} does not exist")
        if (row, WHOLE_FILE) in self.index.unreadable:
            raise UnreadableImage(self.index.unreadable[row, WHOLE_FILE])
        return row

    def _mapped(self) -> np.ndarray:
        """Return the memory-mapped pixel file."""
        if self._pixels is None:
            try:
                # A plain array over the map: each slice of an np.memmap would be another np.memmap, which takes longer.
                self._pixels = np.asarray(np.memmap(self.pixels_path, np.uint8, "r"))
            except (OSError, ValueError) as error:
                raise SRError(
                    f"can't read {self.pixels_path} ({error}): was it packed again in the meantime?"
                ) from error
        return self._pixels

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # pickling a map would copy all of the pixels


class _View:
    """View of an image (H, W, C) whose slices are converted to other channels and depth: only what is read is."""

    def __init__(self, image: np.ndarray, channels: int, bits: Bits) -> None:
        self.image = image
        self.bits = bits
        self.shape = (*image.shape[:2], channels)

    def __getitem__(self, index: Any) -> np.ndarray:
        return to_channels(to_depth(self.image[index], self.bits), self.shape[2])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or DTYPES[self.bits], copy=False)
