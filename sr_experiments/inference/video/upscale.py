"""`sr upscale` for videos and animated images: decoding, upscaling and encoding overlap.

Memory use does not grow with the length of a video.

Terms: a *frame* is a numbered image, *pixels* are its RGB array (H, W, 3), a *segment* is a run of frames that is
encoded separately (see `resume`), and *stamps* are the presentation times of frames.

The output keeps the number of frames and their time stamps, the pixel aspect ratio, the display matrix (rotation), the
colour tags, bit depths above 8, transparency, audio, subtitles, chapters, attachments, the time code and metadata;
whatever its container can't hold is reported. A recurrent network is reset at scene cuts, see `video.scene_cuts`.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing, writing_failed
from sr_experiments.inference.image_engine import ImageEngine
from sr_experiments.inference.options import Options
from sr_experiments.inference.sizes import Enlarger, WantedSize
from sr_experiments.inference.video.network import Item, SegmentEnd, run
from sr_experiments.inference.video.pipe import Stopped
from sr_experiments.inference.video.preview import write_preview
from sr_experiments.inference.video.resume import PartialOutput, engine_settings, file_settings, folder_of
from sr_experiments.video.animate import animate, plan_animation
from sr_experiments.video.animation import AnimationSource
from sr_experiments.video.container import ExtraStream
from sr_experiments.video.decode import damage
from sr_experiments.video.encode import Encoding, SegmentEncoder
from sr_experiments.video.formats import ANIMATIONS, check_clip_file, container_of, is_clip_file
from sr_experiments.video.mux import mux
from sr_experiments.video.plan import plan_output
from sr_experiments.video.source import FolderSource, Source, VideoSource, open_clip


@dataclass
class Summary:
    """Result of upscaling a video; `seconds` is 0 if the output was finished before, `notes` are for the user."""

    frames: int
    seconds: float
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


def upscale_video(engine: ImageEngine, source: Path, target: Path, options: Options, console: Console) -> Summary:
    """Upscale a video file or an animated image to either; the extension of the target selects the format.

    Raises:
        SRError: the input is damaged, the output can't be written with these options, or it exists.
    """
    check_clip_file(target)
    if (finished := _finished_output(target, options)) is not None:
        return finished
    settings = file_settings(source)
    settings |= {name: str(value) for name in ("start", "end") if (value := getattr(options, name)) is not None}
    clip = open_clip(source, options.start, options.end, upright=_is_animation(target), tonemap=options.tonemap)
    return _to_video(engine, clip, target, options, console, settings)


def upscale_frames(
    engine: ImageEngine,
    source: Path,
    target: Path,
    options: Options,
    console: Console,
    images: Sequence[Path] | None = None,
) -> Summary:
    """Upscale the images of a folder, all or those that are given, as the frames of a clip.

    The target is a video file or an animated image, at `options.fps`, or a folder for PNGs of the same names.

    Raises:
        SRError: a frame is damaged or differs in size, the output can't be written with these options, or it exists.
    """
    to_video = is_clip_file(target) and not target.is_dir()
    if to_video:
        check_clip_file(target)
        if options.fps is None or options.fps <= 0:
            raise SRError(f"{target} needs a frame rate: give --fps, such as --fps 25")
        if (finished := _finished_output(target, options)) is not None:
            return finished
    frames = FolderSource(source, _exact_rate(options.fps or 25.0), images)
    names = [[path.name, *file_settings(path).values()] for path in frames.images]
    settings = {"input": hashlib.sha256(json.dumps(names).encode()).hexdigest()}
    if to_video:
        return _to_video(engine, frames, target, options, console, settings)
    return _to_folder(engine, frames, target, options, console, settings)


def _to_video(
    engine: ImageEngine, source: Source, target: Path, options: Options, console: Console, settings: dict[str, Any]
) -> Summary:
    start = time.perf_counter()
    _check_channels(engine, source)
    enlarger = _enlarger(engine, source, options, 1 if _is_animation(target) else 2)
    height, width = enlarger.size(source.size[1], source.size[0])
    extra_streams: list[ExtraStream] = []
    if animation := _is_animation(target):
        encoding, notes = plan_animation(source, target, (width, height), options.lossless)
    else:
        encoding, extra_streams, notes = plan_output(options, source, target, (width, height))
    if isinstance(source, AnimationSource) and source.icc and not animation:
        notes.append(f"the colour profile of {source.path} left out: {target.suffix} can't hold it")
    if options.tonemap and (not isinstance(source, VideoSource) or source.tonemap is None):
        notes.append(f"{source.path} is no HDR video: --tonemap changed nothing")
    settings |= (
        engine_settings(engine)
        | enlarger.settings()
        | {
            "codec": encoding.codec,
            "crf": options.crf,
            "preset": options.preset,
            "pix_fmt": encoding.pix_fmt,
            "fps": str(source.rate),
            "scene_cuts": options.scene_cuts,
            **({"lossless": True} if options.lossless else {}),
            **({"quality": options.quality} if animation else {}),
            **({"tonemap": True} if options.tonemap else {}),
        }
    )
    output = PartialOutput(target, settings, options)
    try:
        with output.unfinished(len(source), console, options.again):
            if options.preview > 0:
                write_preview(enlarger, source, target, options)
            write = partial(_encode, output, encoding, source)
            run(enlarger, source, options, console, output, write, encoding.alpha)
            _join(output, encoding, source, extra_streams, options)
    finally:
        if not output.frames:
            output.remove()
    output.remove()
    return Summary(len(source), time.perf_counter() - start, width, height, notes)


def _enlarger(engine: ImageEngine, source: Source, options: Options, step: int) -> Enlarger:
    """Return what makes frames as the options say, whose width is that of the picture when it is shown upright.

    Their sides are multiples of the step.
    """
    wanted = WantedSize.of(options)
    if source.on_its_side:
        wanted = wanted.turned()
    return Enlarger(engine, wanted, options.strength, step, options.denoise)


def _is_animation(target: Path) -> bool:
    return target.suffix.lower() in ANIMATIONS


def _join(
    output: PartialOutput, encoding: Encoding, source: Source, extra_streams: Sequence[ExtraStream], options: Options
) -> None:
    """Write the output from the segments and the other streams."""
    target = output.target
    joined = output.folder / f"joined{target.suffix}"
    segments = [output.segment(i) for i in range(len(output.delays))]
    try:
        if _is_animation(target):
            animate(joined, target, source, segments, encoding.alpha, options.quality, options.lossless)
            written = len(source)
        else:
            written = mux(joined, container_of(target), source, encoding, segments, output.delays, extra_streams)
        if written != len(source):
            raise SRError(f"{target} would have {written} frames, {source.path} has {len(source)}: not written")
        with joined.open("rb+") as file:  # safe on disk before the segments are removed
            os.fsync(file.fileno())
        joined.replace(target)
    except damage() as error:
        unwritable = SRError(f"can't write {target}: {error}; the frames are kept in {output.folder}")
        raise writing_failed(target, error, "--output") or unwritable from error


def _to_folder(
    engine: ImageEngine,
    source: FolderSource,
    target: Path,
    options: Options,
    console: Console,
    settings: dict[str, Any],
) -> Summary:
    start = time.perf_counter()
    _check_channels(engine, source)
    targets = [target / f"{path.stem}.png" for path in source.images]
    if len(set(targets)) < len(targets):
        duplicate = next(path for path in targets if targets.count(path) > 1)
        raise SRError(f"two frames would both become {duplicate}: rename one")
    enlarger = Enlarger.of(engine, options)
    height, width = enlarger.size(source.size[1], source.size[0])
    existing = [path for path in targets if path.exists()]
    if existing and not folder_of(target).exists() and not options.overwrite:
        if options.resume and len(existing) == len(targets):
            return Summary(len(source), 0.0, width, height, [f"{target} was finished before: left unchanged"])
        raise SRError(f"{existing[0]} exists: give --overwrite to replace")
    settings |= engine_settings(engine) | enlarger.settings() | {"scene_cuts": options.scene_cuts}
    output = PartialOutput(target, settings, options)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(target, error, "--output") or error from error
    try:
        with output.unfinished(len(source), console, options.again):
            run(enlarger, source, options, console, output, partial(_write_images, output, targets))
    finally:
        if not output.frames and not any(path.exists() for path in targets):
            output.remove()
    output.remove()
    return Summary(len(source), time.perf_counter() - start, width, height, source.notes)


def _encode(output: PartialOutput, encoding: Encoding, source: Source, items: Iterator[Item]) -> None:
    """Write segments; an unfinished one is removed."""
    for first in items:
        item: Item | None = first
        segment = output.segment(len(output.delays))
        with replacing(segment) as temporary, SegmentEncoder(temporary, encoding) as encoder:
            while not isinstance(item, SegmentEnd):
                if item is None:
                    raise Stopped
                number, pixels = item
                encoder.write(pixels, source.stamps[number])
                item = next(items, None)
        output.finish_segment(item.frames, encoder.delay, item.state)


def _write_images(output: PartialOutput, targets: list[Path], items: Iterator[Item]) -> None:
    for item in items:
        if isinstance(item, SegmentEnd):
            output.finish_segment(item.frames, 0, item.state)
            continue
        number, pixels = item
        with replacing(targets[number]) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG")


def _finished_output(target: Path, options: Options) -> Summary | None:
    """Return the summary of an output that is finished already, or None if there is work to do."""
    if not target.exists() or options.overwrite:
        return None
    if not options.resume:
        raise SRError(f"{target} exists: give --overwrite to replace")
    if folder_of(target).exists():
        return None
    done = open_clip(target)
    width, height = done.size
    return Summary(len(done), 0.0, width, height, [f"{target} was finished before: left unchanged"])


def _exact_rate(fps: float) -> Fraction:
    """Return a frame rate as a fraction: 23.976 and 29.97 stand for 24000/1001 and 30000/1001 (NTSC)."""
    ntsc = Fraction(round(fps) * 1000, 1001)
    near = abs(fps - ntsc) < min(0.005, abs(fps - round(fps)))  # 5 is within 0.005 of 5000/1001, and is 5
    return ntsc if near else Fraction(fps).limit_denominator(1001)


def _check_channels(engine: ImageEngine, source: Source) -> None:
    of_grey = engine.recurrent and engine.channels == 1
    if of_grey and isinstance(source, VideoSource) and len(source.first.format.components) > 2:
        raise SRError(f"{source.path} is in colour, but the network is for grey: choose another --checkpoint")
