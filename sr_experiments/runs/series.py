"""Read metrics.csv, also while a run is writing it: tidy rows of step, unix time, metric, value."""

import csv
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

PAUSE = 600.0  # seconds; a shorter gap between two values is never a pause between sessions
TAIL = 1 << 16  # bytes from the end, enough for the last values of every metric


@dataclass
class Series:
    """The values of one metric, in the order in which they were logged."""

    steps: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def read_series(path: Path) -> dict[str, Series]:
    """Read every metric of a file; empty where there is no file yet. Incomplete lines are left out."""
    series: dict[str, Series] = {}
    for step, time, metric, value in _rows(path):
        one = series.setdefault(metric, Series())
        one.steps.append(step)
        one.times.append(time)
        one.values.append(value)
    return series


def validated_at(series: Mapping[str, Series], step: int) -> dict[str, float]:
    """Return the validation metrics of a step; empty if it was not validated."""
    by_step = {key: dict(zip(s.steps, s.values, strict=True)) for key, s in series.items() if key.startswith("val/")}
    return {key: values[step] for key, values in by_step.items() if step in values}  # the last of several


def last_moments(path: Path) -> list[tuple[int, float]]:
    """Return step and unix time of the last rows, one per step, reading only the end of the file."""
    return sorted({step: time for step, time, _, _ in _rows(path, TAIL)}.items())


def training_hours(series: dict[str, Series]) -> dict[float, float]:
    """Return {unix time: hours of training since the first value}, without the pauses between a run's sessions.

    A pause is a gap of at least ten minutes and at least ten times the median gap.
    """
    times = sorted({time for one in series.values() for time in one.times})
    gaps = [after - before for before, after in pairwise(times)]
    median = sorted(gaps)[len(gaps) // 2] if gaps else 0.0
    hours, elapsed = dict.fromkeys(times[:1], 0.0), 0.0
    for time, gap in zip(times[1:], gaps, strict=True):
        elapsed += median if gap > max(PAUSE, 10 * median) else gap
        hours[time] = elapsed / 3600
    return hours


def thinned(series: Series, most: int) -> list[int]:
    """Return the indices of at most `most` values: the first, the last, and the extremes of equal buckets."""
    count = len(series.values)
    if count <= most:
        return list(range(count))
    # Two values per bucket keep the spikes that an average would hide.
    buckets = most // 2
    kept = {0, count - 1}
    for i in range(buckets):
        bucket = range(i * count // buckets, (i + 1) * count // buckets)
        finite = [j for j in bucket if math.isfinite(series.values[j])]
        if finite:
            kept |= {min(finite, key=series.values.__getitem__), max(finite, key=series.values.__getitem__)}
    return sorted(kept)


def _rows(path: Path, from_end: int | None = None) -> Iterator[tuple[int, float, str, float]]:
    """Yield the rows that end in a newline: the last may be half written, and half a number is a number too."""
    try:
        with path.open("rb") as file:
            if from_end is not None:
                file.seek(max(file.seek(0, os.SEEK_END) - from_end, 0))
            content = file.read()
    except FileNotFoundError:
        return
    lines = content[: content.rfind(b"\n") + 1].decode("utf-8", errors="replace").splitlines()
    # A crash can leave NUL bytes at the end of a file, which the csv module refuses.
    for row in csv.reader(line.replace("\0", "") for line in lines):
        try:
            step, time, metric, value = row
            yield int(step), float(time), metric, float(value)
        except ValueError:  # the header, or a line that a killed run cut short
            continue
