"""Make a pack of a folder: decode its images and videos in parallel, and continue after an interruption."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import AcquireReturnProxy, FileLock, Timeout
from rich.console import Console
from rich.filesize import decimal
from rich.progress import DownloadColumn, Progress

from sr_experiments.data.depth import DTYPES, Bits, deepest
from sr_experiments.data.image_files import EXTENSIONS as IMAGE_EXTENSIONS
from sr_experiments.data.image_files import (
    Header,
    UnreadableImage,
    and_left_out,
    image_headers,
    result_or_error,
    say_pages,
    walk_images,
)
from sr_experiments.data.packs.decoding import Task, Written, decoded, skip_hint
from sr_experiments.data.packs.pack import INDEX, JOURNAL, LOCK, WHOLE_FILE, Index, Pack
from sr_experiments.data.training_crops import first_few
from sr_experiments.data.workers import worker_count
from sr_experiments.display.terminal import WHOLE, make_progress
from sr_experiments.errors import SRError
from sr_experiments.files.writing import writing_failed
from sr_experiments.video.decode import VideoFile
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS

log = logging.getLogger(__name__)

_SAVE_EVERY = 5.0  # seconds between saves of the journal

Headers = Mapping[Path, Header | UnreadableImage]  # of images


def pack(
    source: str | Path,
    destination: str | Path,
    workers: int | str = "auto",
    on_error: str = "stop",
    only: Sequence[str] | None = None,
    videos: bool = True,
    option: str = "",
    bits: Bits | None = None,
    channels: int | None = None,
) -> Pack:
    """Pack a folder, as far as it is not packed yet.

    If the destination contains a pack of the same files, nothing is done; a pack of an earlier state of the folder is
    replaced; interrupted packing continues.

    Args:
        source: the folder, searched recursively.
        destination: the folder to write.
        workers: number of decoding processes, 0 for this process only, or "auto".
        on_error: "stop" at a file that can't be read, or "skip": such files then can't be read from the pack either.
        only: names of the subfolders to pack.
        videos: whether to pack video files too.
        option: the user's option for the destination, for messages.
        bits: depth of the pack; None for that of the deepest file.
        channels: 3 for RGB, or the number of bands of all files; None for what the files have.

    Raises:
        SRError: nothing to pack, no space, a file that can't be read, or a destination with other content.
    """
    root, folder = Path(source).expanduser().resolve(), Path(destination).expanduser()
    files = scan(root, only, videos)
    entries = "".join(f"{file.name}\0{file.bytes}\0{file.time}\0" for file in files)
    headers, layout = None, (bits or 8, channels or 3)
    if bits is None or channels is None:
        headers = _headers(root, files)
        layout = _layout(headers, bits, channels)
    if layout != (8, 3):  # another pack than one of 8-bit RGB, whose digest is as it always was
        entries += f"{layout[0]}\0{layout[1]}\0"
    digest = hashlib.sha256(entries.encode("utf-8", "surrogateescape")).hexdigest()
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / f).exists() for f in (INDEX, JOURNAL, LOCK)):
        raise SRError(f"{folder} exists and is not a pack: choose an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            if _is_packed(root, folder, digest):
                return Pack(folder)
            headers = _headers(root, files) if headers is None else headers
            index = _plan_layout(root, files, headers, digest, on_error, *layout)
            journal = Journal(folder / JOURNAL, digest)
            # The index goes first: without it, the folder is recognised as incomplete from here on.
            (folder / INDEX).unlink(missing_ok=True)
            for old in folder.glob("pixels-*"):
                if old.name != index.pixels_name:
                    old.unlink()
            _check_space(index, folder, journal, option)
            _write_pixels(index, folder, journal, workers, on_error)
            for text in root.glob("*.txt") if only is None else ():  # such as the lists of Vimeo-90K
                shutil.copy(text, folder / text.name)
            index.write(folder)
            journal.path.unlink()
            return Pack(folder)
    except OSError as error:
        raise writing_failed(folder, error, option) or error from error


class SourceFile(NamedTuple):
    """A file to pack: name relative to the folder, size in bytes, modification time in ns."""

    name: str
    bytes: int
    time: int


def scan(root: Path, only: Sequence[str] | None = None, videos: bool = True) -> list[SourceFile]:
    """List the images and videos in a folder and below it, sorted by name; arguments as of `pack`.

    Raises:
        SRError: no such folder, or no files in it.
    """
    if not root.is_dir():
        raise SRError(f"no folder {root}: looked for images and videos there; check the path")
    extensions = (*IMAGE_EXTENSIONS, *(VIDEO_EXTENSIONS if videos else ()))
    start = len(str(root)) + 1
    found, left_out = [], ""
    for folder in [root] if only is None else [root / name for name in only]:
        walked = walk_images(folder, VIDEO_EXTENSIONS if videos else ())
        walked.log_left_out()
        left_out = left_out or and_left_out(walked)
        for path in walked.paths():
            try:
                status = Path(path).stat()
                found.append(SourceFile(path[start:], status.st_size, status.st_mtime_ns))
            except OSError:  # a broken link: it is unreadable, like any other damaged file
                found.append(SourceFile(path[start:], -1, -1))
    if not found:
        raise SRError(f"nothing to pack in {root} or below it: looked for {' '.join(extensions)}{left_out}")
    return sorted(found)


class Journal:
    """Text file with a line per decoded file, so that interrupted packing can continue.

    The first line is the digest of the files that are packed; the journal of other files is cleared. A line is written
    only after the pixels are safe on disk.

    Attributes:
        written: decoded files, by row.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.header = digest.encode() + b"\n"
        self.written: dict[int, Written] = {}
        self._saved = 0  # how many of them have a line
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if not lines or lines[0] != self.header:
            self.clear()
            return
        for line in lines[1:]:
            if not line.endswith(b"\n"):  # the last line, cut off when the process was killed
                os.truncate(path, path.stat().st_size - len(line))
                break
            row, checksum, unreadable = json.loads(line)
            self.written[row] = Written(row, checksum, {int(frame): text for frame, text in unreadable.items()})
        self._saved = len(self.written)

    def save(self, pixels: Path) -> None:
        """Flush the pixel file to disk, then append the lines of the files written since the last save."""
        unsaved = list(self.written.values())[self._saved :]
        if not unsaved:
            return
        # In this order: after a power failure no line may speak of pixels that were lost.
        with pixels.open("rb") as file:
            os.fsync(file.fileno())
        with self.path.open("ab") as file:
            file.writelines(json.dumps(written).encode() + b"\n" for written in unsaved)
            file.flush()
            os.fsync(file.fileno())
        self._saved = len(self.written)

    def clear(self) -> None:
        """Start again with an empty journal."""
        self.written, self._saved = {}, 0
        self.path.write_bytes(self.header)


def _lock(folder: Path) -> AcquireReturnProxy:
    """Lock a folder against packing by other processes; the lock is released when this process ends."""
    lock = FileLock(folder / LOCK)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is packing %s: waiting for it", folder)
        return lock.acquire(poll_interval=0.5)


def _is_packed(root: Path, folder: Path, digest: str) -> bool:
    """Return whether a folder contains a complete pack of the files with this digest.

    Raises:
        SRError: it contains a pack of another folder.
    """
    if not (folder / INDEX).is_file():
        return False
    try:
        existing = Pack(folder, check_sources=False).index
    except SRError as problem:
        log.warning("packing again: %s", problem)
        return False
    if existing.digest == digest:
        log.info("%s is already packed in %s", root, folder)
        return True
    if existing.source != root:
        raise SRError(f"{folder} contains a pack of {existing.source}: choose another place for that of {root}")
    log.info("%s has changed since it was packed: packing it again", root)
    return False


def _headers(root: Path, files: Sequence[SourceFile]) -> Headers:
    """Return the headers of the images, or the errors in their place."""
    paths = [root / file.name for file in files if not file.name.lower().endswith(VIDEO_EXTENSIONS)]
    return dict(zip(paths, image_headers(paths), strict=True))


def _layout(headers: Headers, bits: Bits | None, channels: int | None) -> tuple[Bits, int]:
    """Return depth and channels of a pack: what was asked for, else the largest of what the images' headers say."""
    found = {path: header for path, header in headers.items() if isinstance(header, Header)}
    if channels is None:
        say_pages({path: header.pages for path, header in found.items()}, "give --channels ")
    deep = deepest({header.depth for header in found.values()})
    return bits or deep, channels or max((header.channels for header in found.values()), default=3)


def _plan_layout(
    root: Path, files: Sequence[SourceFile], headers: Headers, digest: str, on_error: str, bits: Bits, channels: int
) -> Index:
    """Return the index of a new pack, from the files' headers; checksums are still 0."""
    paths = [root / file.name for file in files]
    videos = [row for row, path in enumerate(paths) if path not in headers]
    found: dict[int, Any] = {
        row: header.size if isinstance(header := headers[path], Header) else header
        for row, path in enumerate(paths)
        if path in headers
    }
    with ThreadPoolExecutor(4) as pool:
        video_sizes = pool.map(lambda row: result_or_error(_video_size, paths[row]), videos)
        found.update(zip(videos, video_sizes, strict=True))
    unreadable = {(row, WHOLE_FILE): str(size) for row, size in found.items() if isinstance(size, UnreadableImage)}
    if len(unreadable) == len(files) or (unreadable and on_error == "stop"):
        raise UnreadableImage(first_few(list(unreadable.values()), 1) + skip_hint(on_error))
    # (height, width, frames) of each file; an image has one frame, an unreadable file takes no space.
    rows = range(len(files))
    shapes = [(0, 0, 0) if (row, WHOLE_FILE) in unreadable else (*found[row], 1)[:3] for row in rows]
    height, width, frames = np.array(shapes, np.int64).T
    sizes = height * width * frames * channels * np.dtype(DTYPES[bits]).itemsize
    columns = {
        "height": height,
        "width": width,
        "frames": frames,
        "offset": np.cumsum(sizes) - sizes,
        "checksum": np.zeros(len(files), np.int64),
        "source_bytes": np.array([file.bytes for file in files], np.int64),
        "source_time": np.array([file.time for file in files], np.int64),
    }
    return Index(root, digest, [file.name for file in files], columns, unreadable, bits, channels)


def _video_size(path: Path) -> tuple[int, int, int]:
    """Return (height, width, frames) of a video."""
    video = VideoFile(path)
    return (*video.size, video.frames)


def _check_space(index: Index, folder: Path, journal: Journal, option: str) -> None:
    """Stop if the disk has no room for what is still to be written."""
    needed, written = int(index.bytes_of.sum()), int(sum(index.bytes_of[row] for row in journal.written))
    free = shutil.disk_usage(folder).free
    done = f", of which {decimal(written)} are written already" if written else ""
    what = f"{len(index.names)} files of {index.source} unpack to {decimal(needed)}{done}"
    if needed - written > free:
        place = f" with {option}" if option else ""
        raise SRError(f"{what}, but {folder} has {decimal(free)} free: free some, or choose another place{place}")
    log.info("%s; %s has %s free", what, folder, decimal(free))


def _write_pixels(index: Index, folder: Path, journal: Journal, workers: int | str, on_error: str) -> None:
    """Write all pixels that are not in the journal yet, and enter the checksums into the index."""
    pixels, columns, total = folder / index.pixels_name, index.columns, int(index.bytes_of.sum())
    if not pixels.is_file() or pixels.stat().st_size != total:
        journal.clear()
    with pixels.open("ab") as file:
        file.truncate(total)
    tasks = [
        Task(
            row,
            index.source / name,
            pixels,
            int(columns["offset"][row]),
            (int(columns["frames"][row]), int(columns["height"][row]), int(columns["width"][row]), index.channels),
            on_error,
            index.bits,
        )
        for row, name in enumerate(index.names)
        if (row, WHOLE_FILE) not in index.unreadable and row not in journal.written
    ]
    progress = transient_progress()
    bar = progress.add_task("packing", total=total)
    progress.advance(bar, sum(int(index.bytes_of[row]) for row in journal.written))
    count = min(worker_count(workers, in_memory=False), len(tasks))
    saved = time.monotonic()
    try:
        with progress:
            for written in decoded(tasks, count):
                journal.written[written.row] = written
                progress.advance(bar, int(index.bytes_of[written.row]))
                if time.monotonic() - saved > _SAVE_EVERY:
                    journal.save(pixels)
                    saved = time.monotonic()
    finally:
        journal.save(pixels)
    for row, written in journal.written.items():
        columns["checksum"][row] = written.checksum
        index.unreadable.update({(row, frame): message for frame, message in written.unreadable.items()})


def transient_progress() -> Progress:
    """Return a progress bar of bytes with the remaining time on standard error; hidden if that is not a terminal."""
    return make_progress(Console(stderr=True), DownloadColumn(table_column=WHOLE), transient=True)
