"""Animated images as outputs: what is lost in them, and their writing from segments without loss."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sr_experiments.errors import SRError
from sr_experiments.video.animation import FOREVER, AnimationSource, frame_durations, write_animation
from sr_experiments.video.colour import Colours
from sr_experiments.video.decode import open_container
from sr_experiments.video.encode import Encoding
from sr_experiments.video.formats import ANIMATIONS
from sr_experiments.video.source import Source, VideoSource
from sr_experiments.video.tonemap import HLG, PQ

_LOSSLESS = ("WEBP", "PNG")
# The longest side in pixels, and the longest duration of a frame in ms.
_MOST = {
    "GIF": (65535, 655_350),
    "WEBP": (16383, 2**24 - 1),
    "AVIF": (65536, 2**31 - 1),
    "PNG": (2**31 - 1, 65_535_000),
}


def plan_animation(source: Source, target: Path, size: tuple[int, int], lossless: bool) -> tuple[Encoding, list[str]]:
    """Plan the segments of an animation whose frames have this (width, height), and return notes for the user.

    Raises:
        SRError: the format can't be lossless, or can't hold frames of this size or duration, or is that of a still
            picture for a video.
    """
    name, image_format = target.suffix.lower(), ANIMATIONS[target.suffix.lower()]
    if lossless and image_format not in _LOSSLESS:
        raise SRError(f"{target}: an animation in {name} has no --lossless: choose .webp or .apng")
    if isinstance(source, VideoSource) and name == ".png":
        raise SRError(f"{target}: {source.path} is a video: choose .apng, .webp, .avif or .gif, or .mkv or .mp4")
    notes = [*source.notes, *_left_out(source, name)]
    durations = frame_durations(source.stamps, source.end, source.time_base, image_format)
    side, longest = _MOST[image_format]
    if max(size) > side:
        raise SRError(f"{target}: {name} holds at most {side} pixels a side, not {size[0]}x{size[1]}: give a size")
    if max(durations) > longest:
        raise SRError(f"{target}: a frame is shown for {max(durations) / 1000:g} s, {name} holds {longest / 1000:g} s")
    if image_format == "GIF" and sum(durations) != round((source.end - source.stamps[0]) * source.time_base * 1000):
        notes.append(f"{name} shows frames for at least 20 ms, in steps of 10 ms: times were changed")
    if image_format == "GIF" and source.alpha and not _is_gif(source):
        notes.append(f"partial transparency was lost: pixels of {name} are opaque or transparent")
    colours = Colours.of(source.first, is_rgb=True)
    pix_fmt = "bgra" if source.alpha else "bgr0"
    return Encoding("ffv1", {}, pix_fmt, *size, source.time_base, source.rate, colours, None), notes


def animate(
    path: Path, target: Path, source: Source, segments: Sequence[Path], alpha: bool, quality: int, lossless: bool
) -> None:
    """Write an animated image, in the format of the target, from all segments.

    Raises:
        SRError: the format can't hold frames of this size.
    """
    image_format = ANIMATIONS[target.suffix.lower()]
    durations = frame_durations(source.stamps, source.end, source.time_base, image_format)
    plays, icc = (source.plays, source.icc) if isinstance(source, AnimationSource) else (FOREVER, None)

    def frames(start: int) -> Iterator[np.ndarray]:
        for segment in segments:
            with open_container(segment) as container:
                count = 0
                for frame in container.decode(video=0):
                    if count >= start:
                        yield frame.to_ndarray(format="rgba" if alpha else "rgb24")
                    count += 1
            start = max(start - count, 0)

    write_animation(path, image_format, frames, durations, plays, alpha, quality, lossless, icc)


def _is_gif(source: Source) -> bool:
    return isinstance(source, AnimationSource) and source.path.suffix.lower() == ".gif"


def _left_out(source: Source, name: str) -> list[str]:
    """Return notes on what an animation of a source doesn't have."""
    if isinstance(source, AnimationSource):
        notes = []
        if name == ".gif" and source.icc:
            notes.append(f"the colour profile left out: {name} can't hold it")
        if name == ".avif" and source.plays != FOREVER:
            times = "once" if source.plays == 1 else f"{source.plays} times"
            notes.append(f"{source.path} is shown {times}, the {name} forever")
        return notes
    if not isinstance(source, VideoSource):
        return []
    notes = ["HDR written as if it were SDR: give --tonemap"] if int(source.first.color_trc) in (PQ, HLG) else []
    notes += [] if source.aspect is None else [f"pixel aspect ratio {source.aspect} left out: {name} can't hold it"]
    with open_container(source.path) as container:
        kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
    return [*notes, *(f"{kind} left out: {name} can't hold it" for kind in kinds)]
