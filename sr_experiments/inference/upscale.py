"""The `sr upscale` command: find the inputs, upscale them and report."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console

from sr_experiments.checkpoints.names import unique_names
from sr_experiments.data.depth import Bits, deepest
from sr_experiments.data.image_files import UnreadableImage, result_or_error
from sr_experiments.display.logging_setup import log_to_console
from sr_experiments.display.terminal import job_progress
from sr_experiments.errors import SRError
from sr_experiments.inference.checks import check_images, is_sheet
from sr_experiments.inference.engines import engine_for
from sr_experiments.inference.image_engine import ImageEngine
from sr_experiments.inference.images import (
    Picture,
    check_holds_bands,
    for_network,
    format_of,
    in_words,
    read_picture,
    to_sdr,
    upscale_picture,
    write_picture,
)
from sr_experiments.inference.inputs import Inputs, Job, check_targets, clip_jobs, find_inputs, pending_jobs, plan_jobs
from sr_experiments.inference.memory import keep_little
from sr_experiments.inference.options import Options
from sr_experiments.inference.sizes import Enlarger
from sr_experiments.inference.video.upscale import Summary, upscale_frames, upscale_video
from sr_experiments.processes.sigterm import ended_by_sigterm
from sr_experiments.video.formats import ANIMATIONS, is_clip_file
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS

log = logging.getLogger(__name__)


def run(
    names: Sequence[str], output: Path, checkpoints: Sequence[Path], options: Options, console: Console | None = None
) -> int:
    """Upscale images and videos; return the exit code: 0, or 1 if some of several files failed.

    A recurrent generator treats the images of a folder as the frames of a clip, others treat them independently. The
    names are as for `find_inputs`, the checkpoints as for `load`; the output is a file or a folder. The console, by
    default stderr, shows progress.

    Raises:
        SRError: invalid inputs or options, or the only file failed.
    """
    console = console or Console(stderr=True)
    log_to_console(console)
    with ended_by_sigterm():
        return _run(names, output, checkpoints, options, console)


def _run(names: Sequence[str], output: Path, checkpoints: Sequence[Path], options: Options, console: Console) -> int:
    output = output.expanduser()
    inputs = find_inputs(names, output)
    single = inputs.images[0] if inputs.images and inputs.root is None else None
    to_video = is_clip_file(output) and not output.is_dir() and not (single and output.suffix.lower() in ANIMATIONS)
    if single is not None and to_video:
        raise SRError(f"{single} is a single image: to make a video, give a folder of frames")
    if inputs.images and (options.start is not None or options.end is not None):
        raise SRError(f"--start and --end are for videos, and {inputs.images[0]} is an image: leave them out")
    to_animation = to_video and output.suffix.lower() in ANIMATIONS
    if to_animation or not (to_video or any(path.suffix.lower() in VIDEO_EXTENSIONS for path in inputs.videos)):
        check_images(options, animations=to_animation or bool(inputs.videos))
    if options.fps is not None and not (to_video and inputs.images):
        raise SRError("--fps is for a video that is made from a folder of frames: leave it out")
    if to_video and inputs.videos and inputs.root is not None:
        raise SRError(f"{output} is one file, and {inputs.videos[0]} a video or an animation besides: give a folder")
    if options.image_format and inputs.root is None and output.suffix and not output.is_dir():
        raise SRError(f"--format is for folders, and {output} is a file: leave it out")
    keep_little()
    if is_sheet(checkpoints, options):
        return _make_sheets(inputs, output, checkpoints, options, console)
    engine, options = engine_for(checkpoints, options)
    as_frames = to_video or (engine.recurrent and inputs.root is not None)
    image_jobs = [] if as_frames else _image_jobs(inputs, output, options)
    jobs = clip_jobs(inputs, output, options.image_format)
    check_targets([*jobs, *image_jobs])

    failed = 0
    alone = len(inputs.images) + len(inputs.videos) == 1
    if inputs.videos:
        failed += _upscale_clips(engine, jobs, options, console, upscale_video, alone)
    if inputs.images and as_frames:
        assert inputs.root is not None
        folders = {path.parent: list[Path]() for path in inputs.images}
        for path in inputs.images:
            folders[path.parent].append(path)
        if to_video and len(folders) > 1:
            raise SRError(f"{len(folders)} folders of frames don't fit into one video {output}: give a folder")

        def upscale_folder(
            engine: ImageEngine, folder: Path, target: Path, options: Options, console: Console
        ) -> Summary:
            return upscale_frames(engine, folder, target, options, console, folders[folder])

        jobs = [Job(f, output if to_video else output / f.relative_to(inputs.root)) for f in folders]
        failed += _upscale_clips(engine, jobs, options, console, upscale_folder, len(jobs) == 1 and not inputs.videos)
    elif inputs.images:
        failed += _upscale_images(engine, image_jobs, options, console, alone)
    return 1 if failed else 0


def _upscale_clips(
    engine: ImageEngine,
    jobs: Sequence[Job],
    options: Options,
    console: Console,
    upscale: Callable[[ImageEngine, Path, Path, Options, Console], Summary],
    alone: bool,
) -> int:
    """Upscale clips in turn; return the number that failed, or raise if it failed and was the only input (`alone`)."""
    failed = 0
    for job in jobs:
        try:
            done = upscale(engine, job.source, job.target, options, console)
        except SRError as error:
            if alone:
                raise
            log.error("%s", error)
            failed += 1
            continue
        for note in done.notes:
            log.warning("%s", note)
        if done.seconds:
            _print(
                f"{job.target}: {done.frames} frames of {done.width}x{done.height} in {done.seconds:.1f} s, "
                f"{done.frames / done.seconds:.2f} FPS ({engine.device}, {engine.precision})"
            )
    return failed


def _upscale_images(engine: ImageEngine, jobs: Sequence[Job], options: Options, console: Console, alone: bool) -> int:
    """Upscale images in turn, while the next is read and the previous is written; return the number that failed.

    If the only input (`alone`) fails, its error is raised.
    """
    if engine.channels not in (1, 3):
        for job in jobs:
            check_holds_bands(job.target, engine.channels)
    jobs = pending_jobs(jobs, options.overwrite, options.resume)
    enlarger = Enlarger.of(engine, options)
    start, pixels, failed = time.perf_counter(), 0, 0
    with job_progress(console, transient=True) as progress, ThreadPoolExecutor(1) as writer:
        task = progress.add_task("upscaling", total=len(jobs))
        writing: Future[None] | None = None
        read = partial(_read, channels=engine.channels, bits=engine.traits.bits, options=options)
        for number, (job, picture) in enumerate(_read_ahead(jobs, read)):
            error = picture if isinstance(picture, SRError) else _error_of(enlarger, job, picture)
            if error is not None:
                if alone:
                    raise error
                log.error("%s", error)
                failed += 1
                continue
            assert isinstance(picture, Picture)

            def report(tile: int, tiles: int, number: int = number) -> None:
                progress.update(task, completed=number + tile / tiles)

            large = upscale_picture(enlarger, picture, report)
            if writing is not None:
                writing.result()
            writing = writer.submit(_write, job, large, options)
            pixels += large.pixels.shape[0] * large.pixels.shape[1]
        if writing is not None:
            writing.result()
    seconds, done = time.perf_counter() - start, len(jobs) - failed
    if done == 1:
        height, width = large.pixels.shape[:2]
        what = f"{jobs[-1].target if len(jobs) == 1 else '1 image'}: {width}x{height}"
    else:
        what = f"{done} images"
    _print(
        f"{what} in {seconds:.1f} s, {done / seconds:.2f} images/s, {pixels / 1e6 / seconds:.2f} megapixels/s "
        f"({engine.device}, {engine.precision}){f'; {failed} failed, named above' if failed else ''}"
    )
    return failed


def _make_sheets(inputs: Inputs, output: Path, checkpoints: Sequence[Path], options: Options, console: Console) -> int:
    """Write a sheet of each image; return the exit code."""
    from sr_experiments.inference.sheet import Sheets, page_of  # here, since few uses make sheets

    if inputs.videos or output.suffix.lower() in VIDEO_EXTENSIONS:
        raise SRError(
            f"several checkpoints, or --html, make sheets of images, and {(*inputs.videos, output)[0]} is a video or "
            "an animation: give one --checkpoint; sr tune shows several on frames of a video"
        )
    jobs = _image_jobs(inputs, output, options)
    check_targets(jobs)
    page = page_of(output, options)
    jobs = pending_jobs(jobs, options.overwrite, options.resume)
    together = [checkpoints] if options.strength is not None else [[checkpoint] for checkpoint in checkpoints]
    labels = unique_names(checkpoints) if len(together) == len(checkpoints) else ["between"]
    engines = {}
    for label, group in zip(labels, together, strict=True):
        engines[label], left = engine_for(group, options)
    sheets, start, failed = Sheets(engines, left, page), time.perf_counter(), 0
    channels = max(engine.channels for engine in engines.values())
    bits = deepest({engine.traits.bits for engine in engines.values()})
    for job, picture in _read_ahead(jobs, partial(_read, channels=channels, bits=bits, options=options)):
        try:
            if isinstance(picture, SRError):
                raise picture
            height, width = sheets.write(job.target, job.source.name, picture, options)
        except SRError as error:
            if len(jobs) == 1:
                raise
            log.error("%s", error)
            failed += 1
    sheets.finish()
    done = len(jobs) - failed
    what = f"{jobs[0].target}: {width}x{height}" if done == len(jobs) == 1 else f"{done} sheets"
    also = f", {page}" if page is not None and done else ""
    _print(f"{what}{also} in {time.perf_counter() - start:.1f} s{f'; {failed} failed, named above' if failed else ''}")
    return 1 if failed else 0


def _image_jobs(inputs: Inputs, output: Path, options: Options) -> list[Job]:
    """Return the jobs of images; an extension that can't be written stops before any work."""
    jobs = plan_jobs(inputs.images, inputs.root, output, options.image_format)
    for job in jobs:
        format_of(job.target, options.lossless)
    return jobs


def _error_of(enlarger: Enlarger, job: Job, picture: Picture) -> SRError | None:
    """Return why a picture can't be enlarged as was asked for, or None if it can."""
    try:
        enlarger.check(picture.pixels)
    except SRError as error:
        return SRError(f"{job.source}: {error}")
    return None


def _read_ahead(
    jobs: Sequence[Job], read: Callable[[Job], Picture | UnreadableImage]
) -> Iterator[tuple[Job, Picture | UnreadableImage]]:
    """Yield the image of each job, or its error, with at most two read ahead in a thread."""
    with ThreadPoolExecutor(1) as reader:
        reading = deque(reader.submit(read, job) for job in jobs[:2])
        for number, job in enumerate(jobs):
            picture = reading.popleft().result()
            if number + 2 < len(jobs):
                reading.append(reader.submit(read, jobs[number + 2]))
            yield job, picture


def _read(job: Job, channels: int, bits: Bits, options: Options) -> Picture | UnreadableImage:
    """Read the image of a job for a network of these channels and bits; for EXR, it has floating-point numbers."""
    floats = format_of(job.target) == "EXR"
    picture = result_or_error(read_picture, job.source, channels, bits, floats and not options.tonemap)
    if not options.tonemap or isinstance(picture, UnreadableImage):
        return picture
    if (mapped := to_sdr(picture)) is picture:
        log.warning("%s is no HDR image: --tonemap changed nothing", job.source)
    return for_network(mapped, bits, floats)


def _write(job: Job, picture: Picture, options: Options) -> None:
    if lost := write_picture(job.target, picture, options.quality, options.lossless):
        log.warning("%s can't hold %s: left out", job.target, lost)
    if picture.lost:
        log.warning("%s: %s not kept", job.source, in_words(list(picture.lost)))


def _print(line: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(line)
