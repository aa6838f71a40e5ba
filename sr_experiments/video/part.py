"""The part of a video between two times."""

import re
from dataclasses import dataclass
from fractions import Fraction
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


def read_time(text: str, option: str) -> Fraction:
    """Read a time of a video, in seconds or as HH:MM:SS.mmm.

    Raises:
        SRError: it is neither; names the option.
    """
    if not (match := _TIME.fullmatch(text.strip())):
        raise SRError(f"{option} {text} is no time: give seconds, such as 83.5, or HH:MM:SS.mmm, such as 00:01:23.500")
    hours, minutes, seconds = (Fraction(value or 0) for value in match.groups())
    return 3600 * hours + 60 * minutes + seconds
