"""`sr runs`: what is running, what has ended and how, what is best so far."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from sr_experiments.errors import SRError
from sr_experiments.report.comparison import digits
from sr_experiments.report.table import coloured, readable_seconds, runs_table, terminal
from sr_experiments.runs.reading import find_runs, max_steps, names_of, read_config
from sr_experiments.runs.state import read_summary, state_of

COLUMNS = ("run", "state", "step", "done", "left", "best", "at step", "time", "seen")
NARROW = 120  # characters; below it, the columns that can best be spared are left out
SPARED = ("done", "at step", "time")


@dataclass(frozen=True)
class Listed:
    """A line of the list.

    Attributes:
        name: of the run.
        folder: of the run.
        state: as of State, or unreadable.
        step: last one known.
        max_steps: how many it is to have.
        seconds_left: while it runs.
        metric: that decides the best.
        best: its value.
        digits: decimals of the value.
        best_step: where it was reached.
        seconds: spent so far, by the last summary.
        active: unix time of the last sign of life.
        problem: why it failed or can't be read.
    """

    name: str
    folder: str
    state: str
    step: int = 0
    max_steps: int | None = None
    seconds_left: float | None = None
    metric: str | None = None
    best: float | None = None
    digits: int = 4
    best_step: int | None = None
    seconds: float | None = None
    active: float = 0.0
    problem: str = ""


def show_runs(place: Path, as_json: bool) -> None:
    """Print the list; errors as of `find_runs`."""
    listed = list_runs(place)
    console = terminal()
    if as_json:
        console.print_json(json.dumps([asdict(one) for one in listed]), indent=2)
    else:
        console.print(_lines(listed, console.width))


def watch_runs(place: Path, every: float) -> None:
    """Show the list again and again, until Ctrl-C.

    Args:
        place: folder of runs; it may be empty yet.
        every: seconds between two looks.

    Raises:
        SRError: there is no such folder.
    """
    if not place.expanduser().is_dir():
        raise SRError(f"no folder {place}: give one with runs, usually outputs")
    console = terminal()

    def look() -> Group:
        try:
            return _lines(list_runs(place), console.width)
        except SRError:  # nothing in it yet
            return Group(Text(f"no run in {place} yet", style="dim"))

    try:
        with Live(look(), console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                time.sleep(every)
                live.update(look(), refresh=True)
    except KeyboardInterrupt:
        return


def list_runs(place: Path) -> list[Listed]:
    """The runs below a folder, those that lived last first."""
    folders = find_runs([place])
    listed = [_listed(folder, name) for folder, name in zip(folders, names_of(folders), strict=True)]
    return sorted(listed, key=lambda one: -one.active)


def _listed(folder: Path, name: str) -> Listed:
    summary = read_summary(folder)
    state = state_of(folder, summary)
    try:
        total = max_steps({} if "max_steps" in summary else read_config(folder), summary)
    except SRError as error:
        return Listed(name, str(folder), "unreadable", state.step, active=state.active, problem=str(error))
    found = summary.get("best")
    best = found if isinstance(found, dict) else {}
    monitor, values = best.get("monitor"), best.get("metrics")
    value = values.get(monitor) if isinstance(values, dict) else None
    left = None
    if state.state == "running" and state.seconds_per_step is not None and total is not None:
        left = max(total - state.step, 0) * state.seconds_per_step
    seconds = summary.get("seconds")
    return Listed(
        name,
        str(folder),
        state.state,
        state.step,
        total,
        left,
        str(monitor).removeprefix("val/") if monitor else None,
        float(value) if isinstance(value, int | float) else None,
        digits(str(monitor), [summary]),
        best.get("step") if isinstance(best.get("step"), int) else None,
        float(seconds) if isinstance(seconds, int | float) else None,
        state.active,
        str(summary.get("error", "")) if state.state == "failed" else "",
    )


def _lines(listed: Sequence[Listed], width: int) -> Group:
    now = time.time()
    columns = [column for column in COLUMNS if width >= NARROW or column not in SPARED]
    cells = [_cells(one, now) for one in listed]
    rows = [[of[column] for column in columns] for of in cells]
    problems = [Text(f"{one.name}: {one.problem}", style="red") for one in listed if one.problem]
    return Group(runs_table(rows, columns), *problems)


def _cells(one: Listed, now: float) -> dict[str, str]:
    """The texts of a line, by column."""
    metric = (one.metric or "").rsplit("/", 1)[-1]
    return {
        "run": escape(one.name),
        "state": coloured(one.state),
        "step": f"{one.step}/{one.max_steps or '?'}",
        "done": f"{100 * one.step / one.max_steps:.0f} %" if one.max_steps else "-",
        "left": readable_seconds(one.seconds_left),
        "best": "-" if one.best is None else escape(f"{metric} {one.best:.{one.digits}f}"),
        "at step": "-" if one.best_step is None else str(one.best_step),
        "time": readable_seconds(one.seconds),
        "seen": f"{readable_seconds(max(now - one.active, 0))} ago",
    }
