"""The part of a video between two times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")


@dataclass(frozen=True)
class Part:
    """What is used of a video: all that is shown from `start` until before `end`, in seconds of the file's own time.

    Where the video begins with the part, `start` is 0, and what else begins before the first frame belongs to it; the
    end is None for that of the video.
    """

    start: Fraction
    end: Fraction | None = None
    from_first: bool = False

    def holds(self, time: Fraction) -> bool:
        """Return whether what begins at this time belongs to the part."""
        return (self.from_first or time >= self.start) and (self.end is None or time < self.end)

    def cut(self, begin: Fraction, end: Fraction) -> tuple[Fraction, Fraction] | None:
        """Return what of a span is in the part, in its time, or None if nothing is."""
        begin, end = max(begin, self.start), end if self.end is None else min(end, self.end)
        return (begin - self.start, end - self.start) if begin < end else None

    def chapters(self, given: list[Any]) -> list[Any]:
        """Return PyAV's chapters as they are in the part."""
        kept = []
        for chapter in given:
            base = Fraction(chapter["time_base"])
            if span := self.cut(chapter["start"] * base, chapter["end"] * base):
                kept.append({**chapter, "start": round(span[0] / base), "end": round(span[1] / base)})
        return kept


def frames_of_part(
    path: Path, times: Sequence[Fraction], length: Fraction, start: Fraction | None, end: Fraction | None
) -> tuple[int, int]:
    """Return the number of the first frame of a part, and of the first one behind it.

    `times` are those of all frames and `length` is that of the file, in seconds from its first frame.

    Raises:
        SRError: the part has no frames.
    """
    wanted = Part(start or Fraction(0), end)
    chosen = [i for i, time in enumerate(times) if wanted.holds(time)]
    if not chosen:
        until = "" if end is None else f" before {float(end):g} s"
        raise SRError(f"{path} has no frame from {float(wanted.start):g} s on{until}: it is {float(length):.3f} s long")
    return chosen[0], chosen[-1] + 1


def read_time(text: str, option: str) -> Fraction:
    """Read a time of a video, in seconds or as HH:MM:SS.mmm.

    Raises:
        SRError: it is neither; names the option.
    """
    if not (match := _TIME.fullmatch(text.strip())):
        raise SRError(f"{option} {text} is no time: give seconds, such as 83.5, or HH:MM:SS.mmm, such as 00:01:23.500")
    hours, minutes, seconds = (Fraction(value or 0) for value in match.groups())
    return 3600 * hours + 60 * minutes + seconds
