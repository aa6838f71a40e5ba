"""Decode files into the pixel file of a pack, in worker processes."""

import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr_experiments.data.depth import DTYPES, Bits, to_depth
from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.data.workers import ignore_interrupt
from sr_experiments.errors import SRError
from sr_experiments.video.decode import VideoFile
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS


class Task(NamedTuple):
    """One file to decode."""

    row: int  # in the index
    source: Path
    pixels: Path  # the pixel file
    offset: int  # in the pixel file, in bytes
    shape: tuple[int, int, int, int]  # (T, H, W, C)
    on_error: str
    bits: Bits = 8


class Written(NamedTuple):
    """A file that was decoded: its row in the index, the checksum of its pixels, and messages by unreadable frame."""

    row: int
    checksum: int
    unreadable: dict[int, str]


def decoded(tasks: Sequence[Task], workers: int) -> Iterator[Written]:
    """Decode files in so many processes, 0 for this one, and yield results as they complete.

    Results before an error are yielded before it is raised.
    """
    if not workers:
        yield from map(decode, tasks)
        return
    remaining, pending = iter(tasks), set[Future[Written]]()
    stop = multiprocessing.Event()
    pool = ProcessPoolExecutor(workers, initializer=_init_worker, initargs=(stop,))
    try:
        while True:
            # Few are submitted at a time, so that after an error or Ctrl-C little is left to wait for.
            while len(pending) < 2 * workers and (task := next(remaining, None)) is not None:
                pending.add(pool.submit(decode, task))
            if not pending:
                break
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield future.result()
    except BrokenProcessPool as error:
        raise SRError("a decoding process was killed, most likely for lack of memory: use fewer workers") from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_stop: Any = None  # event that tells a worker to stop between frames; None in the main process


def _init_worker(stop: Any) -> None:
    global _stop
    _stop = stop
    ignore_interrupt(0)


def decode(task: Task) -> Written:
    """Decode a file into the pixel file; frames that can't be read are black."""
    checksum, unreadable = 0, dict[int, str]()
    video = VideoFile(task.source) if task.source.suffix.lower() in VIDEO_EXTENSIONS else None
    with task.pixels.open("rb+", buffering=0) as file:  # unbuffered: frames are large and would be copied once more
        file.seek(task.offset)
        for frame in range(task.shape[0]):
            if _stop is not None and _stop.is_set():
                raise InterruptedError
            try:
                pixels = _read(video, frame, task)
                if pixels.shape != task.shape[1:]:
                    raise UnreadableImage(f"can't read image {task.source}: it changed while it was packed")
            except UnreadableImage as error:
                if task.on_error == "stop":
                    raise UnreadableImage(f"{error}{skip_hint(task.on_error)}") from error
                unreadable[frame] = str(error)
                pixels = np.zeros(task.shape[1:], DTYPES[task.bits])
            content = np.ascontiguousarray(pixels).data.cast("B")
            checksum = zlib.crc32(content, checksum)
            while content:  # an unbuffered write may write only a part
                content = content[file.write(content) :]
    if video:
        video.close()
    return Written(task.row, checksum, unreadable)


def _read(video: VideoFile | None, frame: int, task: Task) -> np.ndarray:
    if video is None:
        return read_image(task.source, task.shape[3], task.bits)
    return to_depth(video.read([frame])[0], task.bits)


def skip_hint(on_error: str) -> str:
    """Return the end of a message about an unreadable file: that such files can be skipped."""
    return ", or skip such files with on_error=skip" if on_error == "stop" else ""
