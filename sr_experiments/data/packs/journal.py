"""What of a pack has been written, so that interrupted packing goes on where it stopped."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Written:
    """One file that was decoded: its row, the checksum of its pixels, messages of the frames that can't be read."""

    row: int
    checksum: int
    unreadable: dict[int, str] = field(default_factory=dict)


class Journal:
    """A line a file, saved from time to time, and then only after the pixels are safe on the disk.

    Args:
        path: of the journal; what is there is continued, unless it belongs to other files.
        digest: of the files that are packed.

    Attributes:
        written: what is done, by row.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self.written: dict[int, Written] = {}
        self._unsaved: list[Written] = []
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if not lines or lines[0] != self._title():
            self.forget()
            return
        for line in lines[1:]:
            if not line.endswith(b"\n"):  # the last one, cut off
                with path.open("rb+") as file:
                    file.truncate(path.stat().st_size - len(line))
                break
            row, checksum, unreadable = json.loads(line)
            self.written[row] = Written(row, checksum, {int(frame): text for frame, text in unreadable.items()})

    def add(self, written: Written) -> None:
        """Take down a file."""
        self.written[written.row] = written
        self._unsaved.append(written)

    def save(self, pixels: Path) -> None:
        """Make safe the pixels, then the lines that belong to them."""
        if not self._unsaved:
            return
        with pixels.open("rb") as file:
            os.fsync(file.fileno())
        with self.path.open("ab") as file:
            for written in self._unsaved:
                line = json.dumps([written.row, written.checksum, written.unreadable])
                file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._unsaved.clear()

    def forget(self) -> None:
        """Begin anew."""
        self.written = {}
        self.path.write_bytes(self._title())

    def _title(self) -> bytes:
        return self.digest.encode() + b"\n"
