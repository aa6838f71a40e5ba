"""Deinterlaced video, as of sports filmed in 59.94i: interlaced, then deinterlaced by FFmpeg's filters."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import torch

from sr_experiments.config.constraints import Choices, Share
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.clip_step import ClipStep
from sr_experiments.data.degradations.steps.step import Parameters
from sr_experiments.errors import SRError
from sr_experiments.video.filters import one_filter

Filter = Literal["bwdif", "yadif"]
FILTERS: tuple[Filter, ...] = ("bwdif", "yadif")
AROUND = 2  # still frames before and after a clip: the filters look at neighbours
LEAST_SIDE = 4  # of what the filters take


@STEPS.register("interlace")
@dataclass
class Interlace(ClipStep):
    """Step that interlaces each clip, two frames into the fields of one, and deinterlaces it to all frames again.

    Of each frame every second line is kept; the deinterlacer makes the others from the fields before and after.

    Args:
        filters: weights of the choice of FFmpeg's deinterlacers: bwdif, yadif.
        low_pass: fraction of clips whose frames are first blurred vertically, as cameras do against flicker.

    Raises:
        SRError: this build of PyAV lacks a filter that may be drawn.
    """

    filters: Choices[Filter]
    low_pass: Share = 0.5

    def __post_init__(self) -> None:
        import av.filter  # here, since most degradations are of images

        for name in self._names():
            if name not in av.filter.filters_available:
                raise SRError(f"this build of PyAV has no {name}: leave it out of the filters of step interlace")

    def _names(self) -> list[Filter]:
        return [name for name in FILTERS if self.filters.get(name, 0) > 0]

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        return {
            "filter": draw.choose(clips, draw.weights(self.filters, self._names()), generator),
            "top_first": draw.chance(clips, 0.5, generator),
            "low_pass": draw.chance(clips, self.low_pass, generator),
        }

    def _processed(self, clip: np.ndarray, drawn: Parameters) -> np.ndarray:
        name = self._names()[int(drawn["filter"])]
        return through_fields(clip, name, bool(drawn["top_first"]), bool(drawn["low_pass"]))

    def _label(self, drawn: Parameters) -> str:
        return f"{self._names()[int(drawn['filter'])]}{' low-pass' if drawn['low_pass'] else ''}"


def through_fields(clip: np.ndarray, filter_name: Filter, top_first: bool, low_pass: bool) -> np.ndarray:
    """Return a clip (T, H, W, 3), uint8, interlaced and deinterlaced; frames keep their times."""
    count, height, width = clip.shape[:3]
    bottom, right = (max(LEAST_SIDE - side, 0) for side in (height, width))
    after = AROUND + (count + AROUND) % 2 + AROUND % 2
    padded = np.pad(clip, ((AROUND, after), (0, bottom), (0, right), (0, 0)), mode="edge")
    if low_pass:
        padded = _blurred(padded)
    frames = padded[::2].copy()
    first = 0 if top_first else 1
    frames[:, 1 - first :: 2] = padded[1::2, 1 - first :: 2]  # the lines of the second field
    made = np.stack(list(_deinterlaced(frames, filter_name, top_first)))
    return made[AROUND : AROUND + count, :height, :width]


def _blurred(clip: np.ndarray) -> np.ndarray:
    """Blur a clip (T, H, W, 3) vertically by 1, 2, 1."""
    rows = np.pad(clip, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge").astype(np.uint16)
    return ((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 2) // 4).astype(np.uint8)


def _deinterlaced(frames: np.ndarray, filter_name: Filter, top_first: bool) -> Iterator[np.ndarray]:
    """Yield two frames (H, W, 3) of each interlaced frame of (T, H, W, 3)."""
    import av

    rate = Fraction(1001, 30000)
    height, width = frames.shape[1:3]
    options = f"mode=send_field:parity={'tff' if top_first else 'bff'}:deint=all"
    graph = one_filter(width, height, "gbrp", rate, filter_name, options)
    for number, pixels in enumerate([*frames, None]):
        if pixels is None:
            graph.push(None)  # no more
        else:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "gbrp")
            frame.pts, frame.time_base = number, rate
            graph.push(frame)
        while True:
            try:
                yield graph.pull().to_ndarray(format="gbrp")
            except (av.error.BlockingIOError, av.error.EOFError):
                break
