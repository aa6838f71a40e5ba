"""Make a pack of a folder: decode its images and videos once, in parallel, so that an interruption loses little."""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sr_experiments.data.image_files import UnreadableImage, image_sizes
from sr_experiments.data.packs.decoding import Task, decoded, skip_hint
from sr_experiments.data.packs.journal import Journal
from sr_experiments.data.packs.pack import INDEX, JOURNAL, LOCK, WHOLE, Index, Pack
from sr_experiments.data.packs.sources import SourceFile, digest_of, scan
from sr_experiments.data.training_crops import first_few
from sr_experiments.data.workers import worker_count
from sr_experiments.errors import SRError
from sr_experiments.files import writing_failed
from sr_experiments.video.decode import EXTENSIONS as VIDEO_EXTENSIONS
from sr_experiments.video.decode import VideoFile

log = logging.getLogger(__name__)

_SAVED_EVERY = 5.0  # seconds between entries of the journal


def pack(
    source: str | Path,
    destination: str | Path,
    workers: int | str = "auto",
    on_error: str = "stop",
    only: Sequence[str] | None = None,
    videos: bool = True,
    elsewhere: str = "",
) -> Pack:
    """Pack a folder, or what of it isn't packed yet.

    Where the destination holds a pack of the same files, nothing is done; where it holds one of the folder as it was
    earlier, that is replaced; where packing was interrupted, it goes on.

    Args:
        source: the folder, searched with all below it.
        destination: the folder to write.
        workers: processes that decode, 0 for none but this, or "auto".
        on_error: "stop" at a file that can't be read, or "skip": such files then can't be read from the pack either.
        only: names of the subfolders to pack.
        videos: whether to pack video files too.
        elsewhere: option with which the user chooses another place, for messages.

    Raises:
        SRError: nothing to pack, no space, a file that can't be read, a destination that holds something else.
    """
    root, folder = Path(source).expanduser().resolve(), Path(destination).expanduser()
    files = scan(root, only, videos)
    digest = digest_of(files)
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not any((folder / name).exists() for name in (INDEX, JOURNAL, LOCK))
    ):
        raise SRError(f"{folder} is there and is no pack: choose an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if _is_packed(root, folder, digest):
                return Pack(folder)
            index = _laid_out(root, files, digest, on_error)
            journal = Journal(folder / JOURNAL, digest)
            (folder / INDEX).unlink(missing_ok=True)
            for stale in folder.glob("pixels-*.u8"):
                if stale.name != index.pixels_name:
                    stale.unlink()
            _check_space(index, folder, journal, elsewhere)
            _fill(index, folder, journal, workers, on_error)
            for text in root.glob("*.txt") if only is None else ():  # such as the lists of Vimeo-90K
                shutil.copy(text, folder / text.name)
            index.write(folder)
            journal.path.unlink()
            return Pack(folder)
    except OSError as error:
        raise writing_failed(folder, error, elsewhere) or error from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from packing into a folder; the lock ends with this process."""
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is packing %s: waiting for it", folder)
        lock.acquire(poll_interval=0.5)
    try:
        yield
    finally:
        lock.release()


def _is_packed(root: Path, folder: Path, digest: str) -> bool:
    """Whether a folder holds the very pack that is wanted.

    Raises:
        SRError: it holds one of another folder.
    """
    if not (folder / INDEX).is_file():
        return False
    try:
        there = Pack(folder, look=False).index
    except SRError as problem:
        log.warning("packing again: %s", problem)
        return False
    if there.digest == digest:
        log.info("%s is packed in %s already", root, folder)
        return True
    if there.source != root:
        raise SRError(f"{folder} holds a pack of {there.source}: choose another place for that of {root}")
    log.info("%s has changed since it was packed: packing it again", root)
    return False


def readable_size(count: float) -> str:
    """Bytes as a person says them: `6.2 GB`."""
    if count < 1000:
        return f"{count:.0f} bytes"
    power = min((len(str(int(count))) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {' kMGT'[power]}B"


def _laid_out(root: Path, files: Sequence[SourceFile], digest: str, on_error: str) -> Index:
    """The index of a pack to be, from the files' headers; checksums are still missing."""
    paths = [root / file.name for file in files]
    is_video = [path.suffix.lower() in VIDEO_EXTENSIONS for path in paths]
    found: dict[int, Any] = {}
    images = [row for row, video in enumerate(is_video) if not video]
    found.update(zip(images, image_sizes([paths[row] for row in images]), strict=True))
    with ThreadPoolExecutor(4) as pool:
        rows = [row for row, video in enumerate(is_video) if video]
        found.update(zip(rows, pool.map(_look, [paths[row] for row in rows]), strict=True))
    unreadable = {(row, WHOLE): str(size) for row, size in found.items() if isinstance(size, UnreadableImage)}
    if len(unreadable) == len(files) or (unreadable and on_error == "stop"):
        raise UnreadableImage(first_few(list(unreadable.values()), 1) + skip_hint(on_error))
    shapes = np.array([(0, 0, 0) if (row, WHOLE) in unreadable else (*found[row], 1)[:3] for row in range(len(files))])
    sizes = shapes.astype(np.int64).prod(1) * 3
    columns = {
        "height": shapes[:, 0].astype(np.int64),
        "width": shapes[:, 1].astype(np.int64),
        "frames": shapes[:, 2].astype(np.int64),
        "offset": np.cumsum(sizes) - sizes,
        "checksum": np.zeros(len(files), np.int64),
        "source_bytes": np.array([file.bytes for file in files], np.int64),
        "source_time": np.array([file.time for file in files], np.int64),
    }
    return Index(root, digest, [file.name for file in files], columns, unreadable)


def _look(path: Path) -> tuple[int, int, int] | UnreadableImage:
    """(height, width, frames) of a video."""
    try:
        video = VideoFile(path)
    except UnreadableImage as error:
        return error
    return (*video.size, video.frames)


def _check_space(index: Index, folder: Path, journal: Journal, elsewhere: str) -> None:
    needed = int(index.bytes_of.sum())
    to_come = needed - int(sum(index.bytes_of[row] for row in journal.written))
    free = shutil.disk_usage(folder).free
    kept = f", of which {readable_size(needed - to_come)} are there already" if to_come < needed else ""
    what = f"{len(index.names)} files of {index.source} unpack to {readable_size(needed)}{kept}"
    if to_come > free:
        place = f", or choose another place with {elsewhere}" if elsewhere else ", or choose another place"
        raise SRError(f"{what}, but {folder} has {readable_size(free)} free: free some{place}")
    log.info("%s; %s has %s free", what, folder, readable_size(free))


def _fill(index: Index, folder: Path, journal: Journal, workers: int | str, on_error: str) -> None:
    """Write all pixels that the journal doesn't have, and put the checksums into the index."""
    pixels, columns, total = folder / index.pixels_name, index.columns, int(index.bytes_of.sum())
    if not pixels.is_file() or pixels.stat().st_size != total:
        journal.forget()
    with pixels.open("ab") as file:
        file.truncate(total)
    tasks = [
        Task(
            row,
            index.source / name,
            pixels,
            int(columns["offset"][row]),
            (int(columns["frames"][row]), int(columns["height"][row]), int(columns["width"][row]), 3),
            on_error,
        )
        for row, name in enumerate(index.names)
        if (row, WHOLE) not in index.unreadable and row not in journal.written
    ]
    progress = transient_progress()
    bar = progress.add_task("packing", total=total)
    progress.advance(bar, sum(int(index.bytes_of[row]) for row in journal.written))
    count = min(worker_count(workers, in_memory=False), len(tasks))
    saved = time.monotonic()
    try:
        with progress:
            for written in decoded(tasks, count):
                journal.add(written)
                progress.advance(bar, int(index.bytes_of[written.row]))
                if time.monotonic() - saved > _SAVED_EVERY:
                    journal.save(pixels)
                    saved = time.monotonic()
    finally:
        journal.save(pixels)
    for row, written in journal.written.items():
        columns["checksum"][row] = written.checksum
        index.unreadable.update({(row, frame): message for frame, message in written.unreadable.items()})


def transient_progress() -> Progress:
    """A bar of bytes on standard error, with the time that is left; none where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True)
