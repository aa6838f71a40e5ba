"""Upscaling of the frames of a video in segments, while other frames are decoded and encoded."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, ProgressColumn, Task
from rich.text import Text

from sr_experiments.display.terminal import WHOLE, make_progress
from sr_experiments.errors import SRError
from sr_experiments.inference.lookahead import with_later
from sr_experiments.inference.options import Options
from sr_experiments.inference.sizes import Enlarger
from sr_experiments.inference.video import resume
from sr_experiments.inference.video.pipe import run_overlapped
from sr_experiments.inference.video.resume import PartialOutput
from sr_experiments.video.scene_cuts import is_cut
from sr_experiments.video.source import Source

BATCH_SIZE = 4  # frames per call of a network that is not recurrent, on a GPU
QUEUE_SIZE = 4  # frames that wait between decoding, network and encoding


@dataclass
class SegmentEnd:
    """Marker after the last frame of a segment: number of frames finished so far, and state of the engine."""

    frames: int
    state: Any


Item = tuple[int, np.ndarray] | SegmentEnd


def run(
    enlarger: Enlarger,
    source: Source,
    options: Options,
    console: Console,
    output: PartialOutput,
    write: Callable[[Iterator[Item]], None],
    alpha: bool = False,
) -> None:
    """Upscale all frames of a source that are not finished yet, with their alpha channel if wanted.

    The frames are written by `write`, which also records them in `output` as finished at the ends of segments.

    Raises:
        SRError: a frame can't be read, or `write` fails.
    """
    engine, start = enlarger.engine, output.frames
    if start == len(source):
        return
    engine.start_clip()
    if engine.recurrent and start:
        engine.restore_state(output.load_state())
    batch_size = _batch_size(enlarger)
    # To detect a cut at the first frame, the one before it is decoded again.
    extra = engine.recurrent and options.scene_cuts and start > 0
    numbers = (MofNCompleteColumn(table_column=WHOLE), _FPSColumn(table_column=WHOLE))
    progress = make_progress(console, *numbers, transient=True)
    task = progress.add_task("upscaling", total=len(source), completed=start)

    def upscale_segments(frames: Iterator[tuple[int, np.ndarray]]) -> Iterator[Item]:
        begun = time.monotonic()
        for number, pixels in upscaled(enlarger, frames, start, options):
            yield number, pixels
            progress.advance(task)
            done = number + 1
            late = time.monotonic() - begun >= resume.SEGMENT_SECONDS and done % resume.SEGMENT % batch_size == 0
            if done % resume.SEGMENT == 0 or done == len(source) or late:
                yield SegmentEnd(done, engine.save_state() if engine.recurrent else None)
                begun = time.monotonic()

    with progress:
        run_overlapped(source.frames(start - extra, alpha=alpha), upscale_segments, write, QUEUE_SIZE)
    if output.frames != len(source):
        raise SRError(f"only {output.frames} of {len(source)} frames of {source.path} were made: replace the file")


def upscaled(
    enlarger: Enlarger, frames: Iterator[tuple[int, np.ndarray]], start: int, options: Options
) -> Iterator[tuple[int, np.ndarray]]:
    """Upscale frames, numbers and pixels (H, W, 3), in order from number `start` on.

    The alpha channel of pixels (H, W, 4) is enlarged bicubically.

    The engine is at the start of a clip or in its state after frame `start` - 1. This frame may be given too, to detect
    a cut after it.
    """
    engine = enlarger.engine
    if not engine.recurrent:
        # Batches never span two segments, so that resuming forms the same batches.
        while batch := list(islice(frames, min(_batch_size(enlarger), resume.SEGMENT - start % resume.SEGMENT))):
            numbers, images = zip(*batch, strict=True)
            upscaled_images = enlarger.batch([image[..., :3] for image in images])
            for number, large, image in zip(numbers, upscaled_images, images, strict=True):
                yield number, _with_alpha(enlarger, large, image)
            start += len(batch)
        return
    in_shots = _in_shots(enlarger, frames, start, options)
    for frame, later in with_later(in_shots, engine.lookahead, lambda frame: frame.begins_shot):
        if frame.begins_shot:
            engine.start_clip()
        large = enlarger.next_frame(frame.clean, *(one.clean for one in later))
        yield frame.number, _with_alpha(enlarger, large.repeat(3, 2) if engine.channels == 1 else large, frame.pixels)


@dataclass
class _Frame:
    number: int
    pixels: np.ndarray
    clean: np.ndarray  # what the network is given
    begins_shot: bool


def _in_shots(
    enlarger: Enlarger, frames: Iterator[tuple[int, np.ndarray]], start: int, options: Options
) -> Iterator[_Frame]:
    """Yield the frames from number `start` on, each compared with the one before it."""
    previous, grey = None, enlarger.engine.channels == 1
    for number, pixels in frames:
        colours = pixels[..., :3]
        frame_8_bits = colours if pixels.dtype == np.uint8 else (colours >> 8).astype(np.uint8)
        if number >= start:
            cut = options.scene_cuts and previous is not None and is_cut(previous, frame_8_bits)
            if grey and (colours != colours[..., :1]).any():
                raise SRError(f"frame {number} is in colour, but the network is for grey: choose another --checkpoint")
            yield _Frame(number, pixels, enlarger.clean(pixels[..., :1] if grey else colours), cut)
        previous = frame_8_bits


def _batch_size(enlarger: Enlarger) -> int:
    engine = enlarger.engine
    return 1 if engine.recurrent or engine.device_type == "cpu" else BATCH_SIZE


def _with_alpha(enlarger: Enlarger, large: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Add the alpha channel of a frame, if it has one, to its upscaled colours."""
    if pixels.shape[2] == 3:
        return large
    return np.dstack((large, enlarger.bicubic(np.ascontiguousarray(pixels[..., 3:]))))


class _FPSColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} FPS" if task.speed else "- FPS", style="progress.data.speed")
