"""The journal of a pack: which files have been written, so that interrupted packing can continue."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Written:
    """A file that was decoded: its row in the index, the checksum of its pixels, and messages by unreadable frame."""

    row: int
    checksum: int
    unreadable: dict[int, str] = field(default_factory=dict)


class Journal:
    """Text file with a line per decoded file, written only after the pixels are safe on disk.

    The first line is the digest of the files that are packed.

    Args:
        path: path of the journal; an existing one is continued, unless it belongs to other files.
        digest: digest of the files that are packed.

    Attributes:
        written: decoded files, by row.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self.written: dict[int, Written] = {}
        self._unsaved: list[Written] = []
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if not lines or lines[0] != self._header():
            self.clear()
            return
        for line in lines[1:]:
            if not line.endswith(b"\n"):  # the last line, cut off when the process was killed
                with path.open("rb+") as file:
                    file.truncate(path.stat().st_size - len(line))
                break
            row, checksum, unreadable = json.loads(line)
            self.written[row] = Written(row, checksum, {int(frame): text for frame, text in unreadable.items()})

    def add(self, written: Written) -> None:
        """Add a decoded file; it is not saved yet."""
        self.written[written.row] = written
        self._unsaved.append(written)

    def save(self, pixels: Path) -> None:
        """Flush the pixel file to disk, then append the lines of the files added since the last save."""
        if not self._unsaved:
            return
        # In this order: after a power failure no line may speak of pixels that were lost.
        with pixels.open("rb") as file:
            os.fsync(file.fileno())
        with self.path.open("ab") as file:
            for written in self._unsaved:
                line = json.dumps([written.row, written.checksum, written.unreadable])
                file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._unsaved.clear()

    def clear(self) -> None:
        """Start again with an empty journal."""
        self.written = {}
        self.path.write_bytes(self._header())

    def _header(self) -> bytes:
        return self.digest.encode() + b"\n"
