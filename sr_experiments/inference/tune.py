"""`sr tune`: a few frames by several networks, strengths and levels of noise removal, with the time that each takes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from sr_experiments.checkpoints.names import unique_names
from sr_experiments.config.quoting import shell_text, sr_command
from sr_experiments.data.depth import deepest
from sr_experiments.display.pictures import GAP, labelled, stacked
from sr_experiments.errors import SRError
from sr_experiments.inference.engines import engine_for
from sr_experiments.inference.image_engine import Traits
from sr_experiments.inference.images import Picture, Transfer, for_network, format_of, read_picture, write_picture
from sr_experiments.inference.lookahead import with_later
from sr_experiments.inference.options import Options
from sr_experiments.inference.sheet import Page, at_one_scale, in_colour, page_of
from sr_experiments.inference.sizes import Enlarger
from sr_experiments.metrics.baseline import baseline
from sr_experiments.video.animation import is_animated
from sr_experiments.video.formats import EXTENSIONS
from sr_experiments.video.source import open_clip

LEAD = 4  # frames before a shown one that a network for video is given


@dataclass(frozen=True)
class Setting:
    """A network, a strength and a level of noise removal that were tried.

    Attributes:
        label: of its pictures.
        seconds: for a frame.
        whole: estimate for the whole clip, without decoding and encoding, in seconds.
        command: that upscales the whole input with it.
    """

    label: str
    seconds: float
    whole: float
    command: str


def tune(
    source: Path,
    output: Path,
    checkpoints: Sequence[Path],
    strengths: Sequence[float],
    noises: Sequence[float],
    count: int,
    crop: int,
    options: Options,
) -> list[Setting]:
    """Write a sheet with a row for each of `count` frames, evenly spread, and return what the settings cost.

    The sheet shows the middle of each output, at most `crop` pixels a side; the page that `options.html` asks for shows
    the same. Times are those of whole frames.

    Raises:
        SRError: the output exists, or a network can't do what the options ask for.
    """
    format_of(output)
    page = page_of(output, options)
    if output.exists() and not options.overwrite:
        raise SRError(f"{output} exists: give --overwrite to replace")
    labels = unique_names(checkpoints)
    engines = {label: engine_for([path], options) for label, path in zip(labels, checkpoints, strict=True)}
    lookahead = max(engine.lookahead for engine, _ in engines.values())
    clips, total = _clips(source, count, [engine.traits for engine, _ in engines.values()], lookahead)
    rows: dict[str, dict[str, np.ndarray]] = {name: {} for name, _, _ in clips}
    settings, tried = [], list(product(list[float | None](strengths) or [None], list[float | None](noises) or [None]))
    sized = at_one_scale([engine for engine, _ in engines.values()], options)
    for label, checkpoint in zip(labels, checkpoints, strict=True):
        for strength, noise in tried:
            engine, _ = engines[label]
            left = replace(sized, strength=strength, denoise=noise or 0.0)
            if strength is not None and engine.traits.sampling:  # it decides what the network is
                engine, left = engine_for([checkpoint], left)
            enlarger = Enlarger.of(engine, left)
            named = label + ("" if strength is None else f" {strength:g}") + (f" denoise {noise:g}" if noise else "")
            seconds = []
            for name, pictures, later in clips:
                given = [for_network(picture, engine.traits.bits) for picture in pictures]
                after = [for_network(picture, engine.traits.bits).pixels for picture in later]
                made, taken = _made(enlarger, [picture.pixels for picture in given], after)
                seconds.append(taken)
                if not rows[name]:
                    smooth = enlarger.bicubic(given[-1].pixels)
                    rows[name][baseline(engine.scale)] = _middle(smooth, crop, given[-1].transfer)
                rows[name][named] = _middle(made, crop, given[-1].transfer)
            each = float(np.median(seconds))
            chosen = {"scale": sized.scale, "strength": strength, "denoise": noise}
            settings.append(Setting(named, each, each * total, _command(source, checkpoint, chosen)))
    _write(output, page, rows, options.quality)
    return settings


def _clips(
    source: Path, count: int, networks: Sequence[Traits], lookahead: int
) -> tuple[list[tuple[str, list[Picture], list[Picture]]], int]:
    """Return for each frame to show its name, the frames that lead to it and those after it; and how many there are."""
    if source.suffix.lower() not in EXTENSIONS and not is_animated(source):
        channels, bits = max(each.channels for each in networks), deepest({each.bits for each in networks})
        return [(source.name, [read_picture(source, channels, bits)], [])], 1
    video = open_clip(source, upright=True)
    count = min(count, len(video))
    numbers = sorted({round((2 * i + 1) * len(video) / (2 * count) - 0.5) for i in range(count)})
    clips = []
    for number in numbers:
        first = max(number - LEAD, 0)
        frames = [Picture(pixels) for _, pixels in video.frames(first, min(number + 1 + lookahead, len(video)))]
        seconds = float((video.stamps[number] - video.stamps[0]) * video.time_base)
        clips.append((f"{seconds:.2f} s", frames[: number + 1 - first], frames[number + 1 - first :]))
    return clips, len(video)


def _made(enlarger: Enlarger, frames: Sequence[np.ndarray], later: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Return the output of the last frame and the seconds that it took, when the network is warm."""
    if enlarger.engine.recurrent:
        enlarger.engine.start_clip()
        following = with_later(map(enlarger.clean, (*frames, *later)), enlarger.engine.lookahead)
        outputs = (enlarger.next_frame(frame, *after) for frame, after in following)
    else:
        outputs = (enlarger(frame) for frame in (frames[-1], frames[-1]))
    for _ in range(len(frames) if enlarger.engine.recurrent else 2):
        start = time.perf_counter()
        large = next(outputs)
        taken = time.perf_counter() - start
    return large, taken


def _middle(pixels: np.ndarray, crop: int, transfer: Transfer) -> np.ndarray:
    height, width = (min(side, crop) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return in_colour(pixels[top : top + height, left : left + width], transfer)


def _command(source: Path, checkpoint: Path, chosen: Mapping[str, float | None]) -> str:
    target = source.with_name(f"{source.stem}_large{source.suffix}")
    given = [part for name, value in chosen.items() if value is not None for part in (f"--{name}", f"{value:g}")]
    return sr_command(["upscale", *map(shell_text, (source, "-o", target, "-c", checkpoint)), *given])


def _write(output: Path, page: Path | None, rows: dict[str, dict[str, np.ndarray]], quality: int) -> None:
    sheets = [
        labelled({f"{label}, {name}": Image.fromarray(pixels) for label, pixels in pictures.items()})
        for name, pictures in rows.items()
    ]
    write_picture(output, Picture(np.asarray(stacked(sheets, GAP))), quality)
    if page is not None:
        made = Page(page)
        for name, pictures in rows.items():
            made.add(name, pictures)
        made.write()
