"""Frames through the network, in segments, while others are decoded and encoded."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from sr_experiments.errors import SRError
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video import resume
from sr_experiments.inference.video.pipe import overlapped
from sr_experiments.inference.video.progress import FrameProgress
from sr_experiments.inference.video.resume import Partial
from sr_experiments.video.scene_cuts import is_cut
from sr_experiments.video.source import Source

log = logging.getLogger(__name__)

AT_ONCE = 4  # frames in one call of a network that isn't recurrent, on a GPU
WAITING = 4  # frames that wait between decoding, network and encoding


@dataclass
class SegmentEnd:
    """Stands behind the last frame of a segment.

    Attributes:
        frames: finished by then.
        state: of the engine.
    """

    frames: int
    state: Any


Item = tuple[int, np.ndarray] | SegmentEnd


def run(
    engine: Engine,
    source: Source,
    options: Options,
    console: Console,
    work: Partial,
    write: Callable[[Iterator[Item]], None],
) -> None:
    """Bring all frames that aren't finished yet from the source through the network to `write`.

    Args:
        engine: with the network.
        source: of the frames.
        options: the user's.
        console: for the progress bar.
        work: what is finished.
        write: takes frames and the ends of segments, and notes what is finished.

    Raises:
        SRError: a frame can't be read, or `write` fails.
    """
    start = work.frames
    if start == len(source):
        return
    engine.start_clip()
    if engine.recurrent and start:
        engine.restore_state(work.state())
    looks_back = engine.recurrent and options.scene_cuts and start > 0
    try:
        with FrameProgress(console, start, len(source)) as progress:
            overlapped(
                source.frames(start - looks_back),
                lambda frames: _segments(progress.over(upscaled(engine, frames, start, options)), engine, len(source)),
                write,
                WAITING,
            )
    except KeyboardInterrupt:
        log.warning("%d of %d frames are finished and kept: go on with --resume", work.frames, len(source))
        raise
    if work.frames != len(source):
        raise SRError(f"only {work.frames} of {len(source)} frames of {source.path} were made: replace the file")


def upscaled(
    engine: Engine, frames: Iterator[tuple[int, np.ndarray]], start: int, options: Options
) -> Iterator[tuple[int, np.ndarray]]:
    """Frames through the network.

    Args:
        engine: with it; where a clip begins, or in the state behind the frame before `start`.
        frames: numbers and pixels; those before `start` only tell whether a shot begins at it.
        start: the first to be enlarged.
        options: the user's.

    Yields:
        Numbers and enlarged pixels, (scale * H, scale * W, 3).
    """
    if not engine.recurrent:
        for numbers, batch in _batches(frames, AT_ONCE if engine.device.type != "cpu" else 1):
            yield from zip(numbers, engine.upscale_batch(batch), strict=True)
        return
    before = None
    for number, pixels in frames:
        small = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        if number >= start:
            if options.scene_cuts and before is not None and is_cut(before, small):
                engine.start_clip()
            grey = engine.channels == 1
            large = engine.next_frame(pixels[..., :1] if grey else pixels)
            yield number, large.repeat(3, 2) if grey else large
        before = small


def _batches(frames: Iterator[tuple[int, np.ndarray]], size: int) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Runs of frames which never reach beyond a segment: where work begins makes no difference."""
    numbers: list[int] = []
    batch: list[np.ndarray] = []
    for number, pixels in frames:
        numbers.append(number)
        batch.append(pixels)
        if len(batch) == size or (number + 1) % resume.SEGMENT == 0:
            yield numbers, batch
            numbers, batch = [], []
    if batch:
        yield numbers, batch


def _segments(frames: Iterator[tuple[int, np.ndarray]], engine: Engine, total: int) -> Iterator[Item]:
    for number, pixels in frames:
        yield number, pixels
        if (number + 1) % resume.SEGMENT == 0 or number + 1 == total:
            yield SegmentEnd(number + 1, engine.save_state() if engine.recurrent else None)
