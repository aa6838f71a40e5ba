"""`sr upscale` on videos: decoded, enlarged and encoded at the same time, in memory that doesn't grow with length.

The names: a *frame* is a numbered picture; *pixels* are its array (H, W, 3) of RGB; a *segment* is a run of frames
that is encoded on its own, see `video.resume`; *stamps* are the times at which frames are shown.

Kept are the number of frames and their time stamps, the pixels' aspect ratio, the display matrix (rotation), the
colour tags, 10 bits and more, audio, subtitles, chapters, attachments and metadata; what the output's container
can't hold is said. A recurrent network begins anew at cuts found by `video.scene_cuts.is_cut`: frames that differ
more, as thumbnails whose parts may move, than motion or a change of light explains.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from sr_experiments.errors import SRError
from sr_experiments.files import replacing, writing_failed
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video import resume
from sr_experiments.inference.video.network import Item, SegmentEnd, run, upscaled
from sr_experiments.inference.video.pipe import Stopped
from sr_experiments.inference.video.preview import write_preview
from sr_experiments.inference.video.resume import Partial, engine_settings, file_settings, folder_of
from sr_experiments.video.container import Companion, check_holds, companions_of, container_of
from sr_experiments.video.decode import EXTENSIONS, damage
from sr_experiments.video.encode import Encoding, SegmentEncoder, choose_encoding
from sr_experiments.video.mux import mux
from sr_experiments.video.source import FolderSource, Source, VideoSource


@dataclass
class Summary:
    """What was done.

    Attributes:
        frames: of the output.
        seconds: that it took.
        width: of the output.
        height: of the output.
        notes: what the user has to know.
    """

    frames: int
    seconds: float
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


def upscale_video(engine: Engine, source: Path, target: Path, options: Options, console: Console) -> Summary:
    """Upscale a video file.

    Args:
        engine: with the network.
        source: the file.
        target: the file to write; its extension chooses the container.
        options: the user's.
        console: for the progress bar.

    Raises:
        SRError: the input is damaged, the output can't be written as asked for, or it exists.
    """
    container_of(target)
    if (finished := _before(target, options)) is not None:
        return finished
    return _to_video(engine, VideoSource(source), target, options, console, file_settings(source))


def upscale_frames(engine: Engine, source: Path, target: Path, options: Options, console: Console) -> Summary:
    """Upscale the images of a folder as the frames of a clip.

    Args:
        engine: with the network.
        source: the folder.
        target: a video file to write, at `options.fps`; else a folder, for PNGs of the same names.
        options: the user's.
        console: for the progress bar.

    Raises:
        SRError: a frame is damaged or of another size, the output can't be written as asked for, or it exists.
    """
    to_video = target.suffix.lower() in EXTENSIONS
    if to_video:
        container_of(target)
        if options.fps is None or options.fps <= 0:
            raise SRError(f"{target} has to know its frames a second: give --fps, such as --fps 25")
        if (finished := _before(target, options)) is not None:
            return finished
    frames = FolderSource(source, _rate(options.fps or 25.0))
    names = [[path.name, *file_settings(path).values()] for path in frames.images]
    settings = {"input": resume.digest(names)}
    if to_video:
        return _to_video(engine, frames, target, options, console, settings)
    return _to_folder(engine, frames, target, options, console, settings)


def _to_video(
    engine: Engine, source: Source, target: Path, options: Options, console: Console, settings: dict[str, Any]
) -> Summary:
    began = time.perf_counter()
    _check_channels(engine, source)
    width, height = size = (source.size[0] * engine.scale, source.size[1] * engine.scale)
    encoding, notes = choose_encoding(options, source.first, size, source.time_base, source.rate, source.aspect)
    notes = [*source.notes, *notes]
    check_holds(target, encoding)
    companions: list[Companion] = []
    if isinstance(source, VideoSource):
        companions, said = companions_of(source.path, target)
        notes += said
    settings |= engine_settings(engine) | {
        "codec": options.codec,
        "crf": options.crf,
        "preset": options.preset,
        "pix_fmt": encoding.pix_fmt,
        "fps": str(source.rate),
        "scene_cuts": options.scene_cuts,
    }
    work = Partial(target, settings, options)
    try:
        if options.preview > 0:
            write_preview(_fresh(engine, source, options), engine, source, target, options)
        run(engine, source, options, console, work, partial(_encode, work, encoding, source))
        whole = work.folder / f"whole{target.suffix}"
        segments = [work.segment(i) for i in range(len(work.delays))]
        try:
            written = mux(
                whole, container_of(target), source, encoding, segments, work.delays, companions, engine.scale
            )
            if written != len(source):
                raise SRError(f"{target} would have {written} frames, {source.path} has {len(source)}: not written")
            resume.settle(whole, target)
        except damage() as error:
            unwritable = SRError(f"can't write {target}: {error}; the frames are kept in {work.folder}")
            raise writing_failed(target, error, "--output") or unwritable from error
    finally:
        work.remove_if_empty()
    work.remove()
    return Summary(len(source), time.perf_counter() - began, width, height, notes)


def _to_folder(
    engine: Engine, source: FolderSource, target: Path, options: Options, console: Console, settings: dict[str, Any]
) -> Summary:
    began = time.perf_counter()
    _check_channels(engine, source)
    targets = [target / f"{path.stem}.png" for path in source.images]
    if len(set(targets)) < len(targets):
        twice = next(path for path in targets if targets.count(path) > 1)
        raise SRError(f"two frames would both become {twice}: rename one")
    width, height = source.size[0] * engine.scale, source.size[1] * engine.scale
    there = [path for path in targets if path.exists()]
    unfinished = folder_of(target).exists()
    if there and not unfinished and not options.overwrite:
        if options.resume and len(there) == len(targets):
            return Summary(len(source), 0.0, width, height, [f"{target} was finished before: left as it is"])
        raise SRError(f"{there[0]} exists: give --overwrite to replace")
    settings |= engine_settings(engine) | {"scene_cuts": options.scene_cuts}
    work = Partial(target, settings, options)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(target, error, "--output") or error from error
    try:
        run(engine, source, options, console, work, partial(_write_images, work, targets))
    finally:
        if not any(path.exists() for path in targets):
            work.remove_if_empty()
    work.remove()
    return Summary(len(source), time.perf_counter() - began, width, height)


def _fresh(engine: Engine, source: Source, options: Options) -> Callable[[int], Iterator[tuple[int, np.ndarray]]]:
    """A function that upscales the first so many frames."""

    def frames(count: int) -> Iterator[tuple[int, np.ndarray]]:
        engine.start_clip()
        return upscaled(engine, source.frames(0, count), 0, options)

    return frames


def _encode(work: Partial, encoding: Encoding, source: Source, items: Iterator[Item]) -> None:
    """Write segments; one that isn't finished vanishes."""
    for first in items:
        item: Item | None = first
        with replacing(work.segment(len(work.delays))) as temporary, SegmentEncoder(temporary, encoding) as encoder:
            while not isinstance(item, SegmentEnd):
                if item is None:
                    raise Stopped
                number, pixels = item
                encoder.write(pixels, source.stamps[number])
                item = next(items, None)
        work.finished(item.frames, encoder.delay, item.state)


def _write_images(work: Partial, targets: list[Path], items: Iterator[Item]) -> None:
    for item in items:
        if isinstance(item, SegmentEnd):
            work.finished(item.frames, 0, item.state)
            continue
        number, pixels = item
        with replacing(targets[number]) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG")


def _before(target: Path, options: Options) -> Summary | None:
    """Before any work: what if the output is there already?"""
    if not target.exists() or options.overwrite:
        return None
    if not options.resume:
        raise SRError(f"{target} exists: give --overwrite to replace")
    if folder_of(target).exists():
        return None
    done = VideoSource(target)
    return Summary(len(done), 0.0, *done.size, [f"{target} was finished before: left as it is"])


def _rate(fps: float) -> Fraction:
    """23.976, 29.97 and the like are 24000/1001, 30000/1001."""
    ntsc = Fraction(round(fps) * 1000, 1001)
    return ntsc if abs(fps - ntsc) < 0.005 else Fraction(fps).limit_denominator(1001)


def _check_channels(engine: Engine, source: Source) -> None:
    if engine.recurrent and engine.channels == 1 and len(source.first.format.components) > 2:
        raise SRError(f"{source.path} is in colour, the network knows grey only: choose another --checkpoint")
