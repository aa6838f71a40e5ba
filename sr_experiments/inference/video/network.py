"""Upscaling of the frames of a video in segments, while other frames are decoded and encoded."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, ProgressColumn, Task
from rich.text import Text

from sr_experiments.errors import SRError
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video import resume
from sr_experiments.inference.video.pipe import run_overlapped
from sr_experiments.inference.video.resume import PartialOutput
from sr_experiments.terminal import WHOLE, make_progress
from sr_experiments.video.scene_cuts import is_cut
from sr_experiments.video.source import Source

log = logging.getLogger(__name__)

BATCH_SIZE = 4  # frames per call of a network that is not recurrent, on a GPU
QUEUE_SIZE = 4  # frames that wait between decoding, network and encoding


@dataclass
class SegmentEnd:
    """Marker after the last frame of a segment: number of frames finished so far, and state of the engine."""

    frames: int
    state: Any


Item = tuple[int, np.ndarray] | SegmentEnd


def run(
    engine: Engine,
    source: Source,
    options: Options,
    console: Console,
    output: PartialOutput,
    write: Callable[[Iterator[Item]], None],
) -> None:
    """Upscale all frames of a source that are not finished yet.

    The frames are written by `write`, which also records them in `output` as finished at the ends of segments.

    Raises:
        SRError: a frame can't be read, or `write` fails.
    """
    start = output.frames
    if start == len(source):
        return
    engine.start_clip()
    if engine.recurrent and start:
        engine.restore_state(output.load_state())
    # To detect a cut at the first frame, the one before it is decoded again.
    extra = engine.recurrent and options.scene_cuts and start > 0
    numbers = (MofNCompleteColumn(table_column=WHOLE), _FPSColumn(table_column=WHOLE))
    progress = make_progress(console, *numbers, transient=True)
    task = progress.add_task("upscaling", total=len(source), completed=start)

    def upscale_segments(frames: Iterator[tuple[int, np.ndarray]]) -> Iterator[Item]:
        for number, pixels in upscaled(engine, frames, start, options):
            yield number, pixels
            progress.advance(task)
            if (number + 1) % resume.SEGMENT == 0 or number + 1 == len(source):
                yield SegmentEnd(number + 1, engine.save_state() if engine.recurrent else None)

    try:
        with progress:
            run_overlapped(source.frames(start - extra), upscale_segments, write, QUEUE_SIZE)
    except KeyboardInterrupt:
        log.warning("%d of %d frames are finished and kept: continue with --resume", output.frames, len(source))
        raise
    if output.frames != len(source):
        raise SRError(f"only {output.frames} of {len(source)} frames of {source.path} were made: replace the file")


def upscaled(
    engine: Engine, frames: Iterator[tuple[int, np.ndarray]], start: int, options: Options
) -> Iterator[tuple[int, np.ndarray]]:
    """Upscale frames, numbers and pixels (H, W, 3), in order from number `start` on.

    The engine is at the start of a clip or in its state after frame `start` - 1. This frame may be given too, to detect
    a cut after it.
    """
    if not engine.recurrent:
        # Batches never span two segments, so that resuming forms the same batches.
        largest = BATCH_SIZE if engine.device.type != "cpu" else 1
        while batch := list(islice(frames, min(largest, resume.SEGMENT - start % resume.SEGMENT))):
            numbers, images = zip(*batch, strict=True)
            yield from zip(numbers, engine.upscale_batch(images), strict=True)
            start += len(batch)
        return
    previous = None
    for number, pixels in frames:
        frame_8_bits = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        if number >= start:
            if options.scene_cuts and previous is not None and is_cut(previous, frame_8_bits):
                engine.start_clip()
            grey = engine.channels == 1
            large = engine.next_frame(pixels[..., :1] if grey else pixels)
            yield number, large.repeat(3, 2) if grey else large
        previous = frame_8_bits


class _FPSColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} FPS" if task.speed else "- FPS", style="progress.data.speed")
