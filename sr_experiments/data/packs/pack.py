"""A pack: all pixels of a folder of images and videos in one file, of which a crop reads its own rows alone.

`pixels-<digest>.u8` holds RGB, 8 bits a channel, one picture after the other; `pack.index` says where each is, with
checksums and what the sources were. The file is mapped into memory, so processes share what the system caches of it,
and opening a pack reads the index alone. The index is written last: a folder with one is complete.

Measured with crops of 128x128 out of 24 images of 2040x1356, in one thread: 53,000 crops a second from one raw file,
7,000 from an .npy file an image (opened each time, as many handles would have to be kept), 1,400 from zarr 3 in
chunks of 128x128, 500 to 700 where its chunks are compressed, which saves a fifth of the space on photographs.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.errors import SRError
from sr_experiments.files import replacing

INDEX = "pack.index"
JOURNAL = "pack.journal"  # of a pack that is not complete
LOCK = "pack.lock"  # held while it is written
VERSION = 1
WHOLE = -1  # in place of a frame's number: the whole file

_COLUMNS = ("height", "width", "frames", "offset", "checksum", "source_bytes", "source_time")
_LOOKED_AT = 5000  # source files, when a pack is opened: takes milliseconds
_PART = 1 << 24  # bytes of pixels that are checked at once


@dataclass
class Index:
    """What a pack holds: a row for each file of its source.

    Args:
        source: the folder that was packed.
        digest: of the names, sizes and times of its files.
        names: of the files, relative to the source, in sorted order.
        columns: int64 (rows,) each: `height`, `width`, `frames` (1 of an image), `offset` in bytes, `checksum`
            (CRC-32 of all its pixels, black for what is unreadable), `source_bytes` and `source_time` (ns) of the file.
        unreadable: messages by (row, frame), the frame being `WHOLE` where nothing of the file can be read.
    """

    source: Path
    digest: str
    names: list[str]
    columns: dict[str, np.ndarray]
    unreadable: dict[tuple[int, int], str]

    @property
    def pixels_name(self) -> str:
        """Name of the file of pixels: another one where the source was another."""
        return f"pixels-{self.digest[:12]}.u8"

    @property
    def bytes_of(self) -> np.ndarray:
        """Bytes of pixels of each row."""
        return self.columns["height"] * self.columns["width"] * self.columns["frames"] * 3

    def write(self, folder: Path) -> None:
        """Write `pack.index`, whole or not at all."""
        meta = {
            "version": VERSION,
            "source": str(self.source),
            "digest": self.digest,
            "unreadable": [[row, frame, message] for (row, frame), message in self.unreadable.items()],
        }
        texts = {"meta": json.dumps(meta), "names": "\0".join(self.names)}
        arrays = {key: np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8) for key, text in texts.items()}
        with replacing(folder / INDEX) as temporary, temporary.open("wb") as file:
            content: dict[str, Any] = {**arrays, **self.columns}
            np.savez(file, **content)

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Read `pack.index`.

        Raises:
            SRError: it is damaged, or of a later version.
        """
        path = folder / INDEX
        try:
            with np.load(path, allow_pickle=False) as file:
                meta = json.loads(bytes(file["meta"]))
                names = bytes(file["names"]).decode("utf-8", "surrogateescape").split("\0")
                columns = {key: file[key].astype(np.int64) for key in _COLUMNS}
            if meta["version"] != VERSION:
                raise SRError(f"{path} is of version {meta['version']}, known is {VERSION}: pack the folder again")
            unreadable = {(int(row), int(frame)): str(message) for row, frame, message in meta["unreadable"]}
            index = cls(Path(meta["source"]), str(meta["digest"]), names, columns, unreadable)
            if {len(column) for column in columns.values()} != {len(names)} or not index.digest.isalnum():
                raise ValueError("its parts don't fit together")
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            reason = " ".join(str(error).split())
            raise SRError(f"{path} is damaged ({reason}): remove {folder} and pack the folder again") from error
        return index


class Pack:
    """The pictures of a pack. It can be pickled, and every process maps the file when it first reads from it.

    Args:
        folder: where it is.
        look: whether to look if the source has changed.

    Raises:
        SRError: it is incomplete or damaged, or its source has changed since.
    """

    def __init__(self, folder: str | Path, look: bool = True) -> None:
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
        changed = self.changed_sources(_LOOKED_AT) if look else []
        if changed:
            raise SRError(
                f"{self.index.source / changed[0]} has changed since it was packed into {self.folder}: "
                f"pack again with {self._again}"
            )

    def size(self, name: str) -> tuple[int, int]:
        """(height, width) of a picture, or of a video's frames.

        Raises:
            UnreadableImage: it can't be read, or isn't there.
        """
        row = self._row(name)
        return int(self.index.columns["height"][row]), int(self.index.columns["width"][row])

    def frames(self, name: str) -> int:
        """How many frames a video has; of an image, 1."""
        return int(self.index.columns["frames"][self._row(name)])

    def read(self, name: str, channels: int = 3, frame: int = 0) -> np.ndarray:
        """A picture, of which nothing is read before it is sliced.

        Args:
            name: of the file, relative to the source.
            channels: 3 for RGB, 1 for grey (BT.601 luma, made of what is sliced).
            frame: number of a video's frame.

        Returns:
            uint8 (H, W, channels), to be sliced, or to be made an array of by `np.asarray`; not writable.

        Raises:
            UnreadableImage: it couldn't be read when it was packed, or isn't there.
        """
        row = self._row(name)
        if (row, frame) in self.index.unreadable:
            raise UnreadableImage(self.index.unreadable[row, frame])
        columns = self.index.columns
        height, width = int(columns["height"][row]), int(columns["width"][row])
        start = int(columns["offset"][row]) + frame * height * width * 3
        picture = self._mapped()[start : start + height * width * 3].reshape(height, width, 3)
        return picture if channels == 3 else _Grey(picture)  # type: ignore[return-value]

    def changed_sources(self, most: int | None = None) -> list[str]:
        """The source files with another size or time than when they were packed; those that are gone don't count.

        Args:
            most: look at no more than so many, evenly spread.
        """
        if not self.index.source.is_dir():
            return []
        names, columns = self.index.names, self.index.columns
        rows = np.unique(np.linspace(0, len(names) - 1, min(most or len(names), len(names))).astype(int))
        changed = []
        for row in rows:
            try:
                found = (self.index.source / names[row]).stat()
            except OSError:
                continue
            if (found.st_size, found.st_mtime_ns) != (columns["source_bytes"][row], columns["source_time"][row]):
                changed.append(names[row])
        return changed

    def damaged(self, report: Callable[[int], Any] = lambda size: None) -> Iterator[str]:
        """Read everything, and give the names whose pixels don't have their checksum.

        Args:
            report: is told the bytes of each file that was looked at.
        """
        pixels, columns = self._mapped(), self.index.columns
        for row, name in enumerate(self.index.names):
            size, start = int(self.index.bytes_of[row]), int(columns["offset"][row])
            checksum = 0
            for part in range(start, start + size, _PART):
                checksum = zlib.crc32(pixels[part : min(part + _PART, start + size)].data, checksum)
            if checksum != columns["checksum"][row]:
                yield name
            report(size)

    def _row(self, name: str) -> int:
        row = self.rows.get(name)
        if row is None:
            raise UnreadableImage(f"{self.index.source / name} does not exist")
        if (row, WHOLE) in self.index.unreadable:
            raise UnreadableImage(self.index.unreadable[row, WHOLE])
        return row

    def _mapped(self) -> np.ndarray:
        if self._pixels is None:
            try:
                self._pixels = np.asarray(np.memmap(self.pixels_path, np.uint8, "r"))
            except (OSError, ValueError) as error:
                raise SRError(f"can't read {self.pixels_path} ({error}): was it packed again meanwhile?") from error
        return self._pixels

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}


class _Grey:
    """A picture (H, W, 3) that is grey, (H, W, 1), where it is sliced."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = picture
        self.shape = (*picture.shape[:2], 1)

    def __getitem__(self, place: Any) -> np.ndarray:
        rgb = np.ascontiguousarray(self.picture[place])
        return np.array(Image.fromarray(rgb).convert("L"))[:, :, None]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or np.uint8, copy=False)
