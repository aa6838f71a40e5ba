"""`sr upscale`: find what is to be done, do it, say what was done."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.errors import SRError
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.images import Picture, format_of, read_picture, upscale_picture, write_picture
from sr_experiments.inference.inputs import VIDEOS, Work, find, missing, pair
from sr_experiments.inference.memory import keep_little
from sr_experiments.inference.options import Options
from sr_experiments.inference.video.upscale import Summary, upscale_frames, upscale_video
from sr_experiments.logging_setup import log_to_console
from sr_experiments.video.container import CONTAINERS

log = logging.getLogger(__name__)


def run(names: Sequence[str], output: Path, checkpoint: Path, options: Options) -> int:
    """Upscale what is named.

    A recurrent generator takes the images of a folder as the frames of a clip; others take them one by one.

    Args:
        names: an image, a video, a folder, a glob, or several files.
        output: a file, or a folder.
        checkpoint: as for `checkpoints.read`.
        options: the rest.

    Returns:
        Exit code: 0, or 1 if some of many files couldn't be done.

    Raises:
        SRError: nothing could be done.
    """
    console = Console(stderr=True)
    log_to_console(console)
    output = output.expanduser()
    sources = find(names)
    to_video = output.suffix.lower() in VIDEOS
    if sources.images and sources.root is None and to_video:
        raise SRError(f"{sources.images[0]} is one image: it makes no video; give a folder of frames")
    keep_little()
    generator, found = load_generator(checkpoint)
    engine = Engine(generator, options.device, options.precision, options.tile, options.runtime)
    log.info("x%d, %s; %s, %s, %s", engine.scale, found.source, engine.device, engine.precision, engine.runtime)

    failed = 0
    if sources.videos:
        works = pair(sources.videos, sources.root, output)
        if sources.root is not None:
            works = [_writable(work) for work in works]
        failed += _clips(engine, works, options, console, upscale_video)
    if sources.images and (to_video or (engine.recurrent and sources.root is not None)):
        assert sources.root is not None
        folders = sources.frame_folders()
        if to_video and len(folders) > 1:
            raise SRError(f"{len(folders)} folders of frames don't fit into one video {output}: give a folder")
        works = [Work(f, output if to_video else output / f.relative_to(sources.root)) for f in folders]
        failed += _clips(engine, works, options, console, upscale_frames)
    elif sources.images:
        works = pair(sources.images, sources.root, output, options.image_format)
        failed += _images(engine, works, options, console)
    return 1 if failed else 0


def _clips(
    engine: Engine,
    works: Sequence[Work],
    options: Options,
    console: Console,
    upscale: Callable[[Engine, Path, Path, Options, Console], Summary],
) -> int:
    """Upscale one after the other; returns how many failed, if there are several."""
    failed = 0
    for work in works:
        try:
            done = upscale(engine, work.source, work.target, options, console)
        except SRError as error:
            if len(works) == 1:
                raise
            log.error("%s", error)
            failed += 1
            continue
        for note in done.notes:
            log.warning("%s", note)
        if done.seconds:
            _say(
                f"{work.target}: {done.frames} frames of {done.width}x{done.height} in {done.seconds:.1f} s, "
                f"{done.frames / done.seconds:.2f} FPS ({engine.device}, {engine.precision})"
            )
    return failed


def _writable(work: Work) -> Work:
    """Videos of a folder keep their container, or become MKV where only reading it is possible."""
    known = work.target.suffix.lower() in CONTAINERS
    return work if known else Work(work.source, work.target.with_suffix(".mkv"))


def _images(engine: Engine, works: Sequence[Work], options: Options, console: Console) -> int:
    """Upscale images one by one, reading the next and writing the last meanwhile; returns how many failed."""
    for work in works:
        format_of(work.target)
    works = missing(works, options.overwrite, options.resume)
    start, pixels, failed = time.perf_counter(), 0, 0
    with _progress(console) as progress, ThreadPoolExecutor(1) as writer:
        task = progress.add_task("upscaling", total=len(works))
        writing: Future[None] | None = None
        for number, (work, picture) in enumerate(_read_ahead(works)):
            if isinstance(picture, UnreadableImage):
                if len(works) == 1:
                    raise picture
                log.error("%s", picture)
                failed += 1
                continue
            tiles = partial(_advance, progress, task, number)
            large = upscale_picture(engine, picture, tiles)
            if writing is not None:
                writing.result()
            writing = writer.submit(_write, work, large, options.quality)
            pixels += large.pixels.shape[0] * large.pixels.shape[1]
        if writing is not None:
            writing.result()
    seconds, done = time.perf_counter() - start, len(works) - failed
    if done == 1:
        height, width = large.pixels.shape[:2]
        what = f"{works[-1].target if len(works) == 1 else '1 image'}: {width}x{height}"
    else:
        what = f"{done} images"
    _say(
        f"{what} in {seconds:.1f} s, {done / seconds:.2f} images/s, {pixels / 1e6 / seconds:.2f} megapixels/s "
        f"({engine.device}, {engine.precision}){f'; {failed} failed, named above' if failed else ''}"
    )
    return failed


def _read_ahead(works: Sequence[Work]) -> Iterator[tuple[Work, Picture | UnreadableImage]]:
    def read(work: Work) -> Picture | UnreadableImage:
        try:
            return read_picture(work.source)
        except UnreadableImage as error:
            return error

    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(read, work) for work in works[:2]]
        for number, work in enumerate(works):
            picture = coming.pop(0).result()
            if number + 2 < len(works):
                coming.append(reader.submit(read, works[number + 2]))
            yield work, picture


def _write(work: Work, picture: Picture, quality: int) -> None:
    lost = write_picture(work.target, picture, quality)
    if lost:
        log.warning("%s can't hold %s: left out", work.target, lost)


def _advance(progress: Progress, task: TaskID, images: int, tile: int, tiles: int) -> None:
    progress.update(task, completed=images + tile / tiles)


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _say(line: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(line)
