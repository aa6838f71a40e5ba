"""Decode files into their places in a pack, several at a time, each in a process of its own."""

import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.data.packs.journal import Written
from sr_experiments.data.workers import ignore_interrupt
from sr_experiments.errors import SRError
from sr_experiments.video.decode import EXTENSIONS as VIDEO_EXTENSIONS
from sr_experiments.video.decode import VideoFile


class Task(NamedTuple):
    """One file to decode into its place among the pixels."""

    row: int
    source: Path
    pixels: Path
    offset: int
    shape: tuple[int, int, int, int]  # (T, H, W, 3)
    on_error: str


def decoded(tasks: Sequence[Task], workers: int) -> Iterator[Written]:
    """Results as they come; what was done before an error is given before it is raised.

    Args:
        tasks: what to do, a few at a time.
        workers: processes; 0 for none but this.
    """
    if not workers:
        yield from map(decode, tasks)
        return
    coming, pending = iter(tasks), set[Future[Written]]()
    stop = multiprocessing.Event()
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(stop,))
    try:
        while True:
            while len(pending) < 2 * workers and (task := next(coming, None)) is not None:
                pending.add(pool.submit(decode, task))
            if not pending:
                break
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield future.result()
    except BrokenProcessPool as error:
        raise SRError("a process that decodes was ended from outside, most likely for memory: use fewer workers") from (
            error
        )
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_stop: Any = None  # set where the pool wants its processes to end


def _begin(stop: Any) -> None:
    global _stop
    _stop = stop
    ignore_interrupt(0)


def decode(task: Task) -> Written:
    """Decode a file into its place; what can't be read is black."""
    value, unreadable = 0, {}
    video = VideoFile(task.source) if task.source.suffix.lower() in VIDEO_EXTENSIONS else None
    with task.pixels.open("rb+", buffering=0) as file:
        file.seek(task.offset)
        for frame in range(task.shape[0]):
            if _stop is not None and _stop.is_set():
                raise InterruptedError
            try:
                picture = video.read([frame])[0] if video else read_image(task.source)
                if picture.shape != task.shape[1:]:
                    raise UnreadableImage(f"can't read image {task.source}: it changed while it was packed")
            except UnreadableImage as error:
                if task.on_error == "stop":
                    raise UnreadableImage(f"{error}{skip_hint(task.on_error)}") from error
                unreadable[frame] = str(error)
                picture = np.zeros(task.shape[1:], np.uint8)
            content = np.ascontiguousarray(picture).data.cast("B")
            value = zlib.crc32(content, value)
            while content:
                content = content[file.write(content) :]
    if video:
        video.close()
    return Written(task.row, value, unreadable)


def skip_hint(on_error: str) -> str:
    """What else the user can do about an unreadable file."""
    return ", or pass over such files with on_error=skip" if on_error == "stop" else ""
