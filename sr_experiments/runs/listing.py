"""`sr runs`: list the runs of a folder with their states, progress and best metric, once or live."""

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sr_experiments.display.terminal import make_table, needed_widths, readable_seconds, stdout_console, table_width
from sr_experiments.errors import SRError
from sr_experiments.runs.metrics import digits
from sr_experiments.runs.reading import Run, find_runs, names_of, read_config
from sr_experiments.runs.state import read_summary, state_of

OPTIONAL = ("time", "at step", "done", "seen", "left")  # columns that a narrow terminal does without, the first first
COLOURS = {
    "running": "cyan",
    "finished": "green",
    "pruned": "magenta",
    "failed": "red",
    "interrupted": "yellow",
    "unreadable": "red",
}


@dataclass(frozen=True)
class ListedRun:
    """A row of the list."""

    name: str  # short unique name of the run
    folder: str  # the run folder
    state: str  # as in `State`, or unreadable
    step: int = 0  # last known step
    max_steps: int | None = None  # number of steps that it is to train
    seconds_left: float | None = None  # estimated, while it runs
    metric: str | None = None  # the monitored metric
    best: float | None = None  # its best value
    digits: int = 4  # decimals of the value
    best_step: int | None = None  # step of the best value
    seconds: float | None = None  # time spent so far, from summary.json
    active: float = 0.0  # unix time of the last write to the folder
    problem: str = ""  # why it failed or can't be read


def show_runs(place: Path, as_json: bool) -> None:
    """Print the list; errors as of `find_runs`."""
    runs, console = list_runs(place), stdout_console()
    if as_json:
        console.print_json(json.dumps([asdict(run) for run in runs]), indent=2)
    else:
        console.print(_table(runs, console.width))
        for line in _lines_below(runs):
            console.print(line, soft_wrap=True)  # a shell may wrap a path, rich must not: it is copied whole


def watch_runs(place: Path, every: float) -> None:
    """Show the list live, updated `every` so many seconds, until Ctrl-C; an SRError if there is no such folder."""
    if not place.expanduser().is_dir():
        raise SRError(f"no folder {place}: give one with runs, usually outputs")
    console = stdout_console()

    def current() -> Group:
        try:
            runs = list_runs(place)
            return Group(_table(runs, console.width), *_lines_below(runs))
        except SRError:  # the folder is empty, or a run was removed while it was read
            return Group(Text(f"no run in {place} yet", style="dim"))

    try:
        with Live(current(), console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                time.sleep(every)
                live.update(current(), refresh=True)
    except KeyboardInterrupt:
        return


def list_runs(place: Path) -> list[ListedRun]:
    """Return the runs below a folder, the most recently active first."""
    folders = find_runs([place])
    runs = [_read(folder, name) for folder, name in zip(folders, names_of(folders), strict=True)]
    return sorted(runs, key=lambda run: -run.active)


def coloured(state: str) -> str:
    """Return a state in its colour, as rich markup."""
    return f"[{COLOURS[state]}]{state}[/]" if state in COLOURS else escape(state)


def _read(folder: Path, name: str) -> ListedRun:
    summary = read_summary(folder)
    state = state_of(folder, summary)
    try:
        # config.yaml takes milliseconds to parse, and --watch reads all runs again and again.
        config = {} if "max_steps" in summary else read_config(folder)
    except SRError as error:
        return ListedRun(name, str(folder), "unreadable", state.step, active=state.active, problem=str(error))
    run = Run(folder, name, config, summary, state, series={})
    metric, best = run.monitor and run.monitor.removeprefix("val/"), run.best().get(run.monitor or "")
    problem = str(summary.get("error", "")) if state.state == "failed" else ""
    decimals = digits(run.monitor or "", [summary])
    return ListedRun(name, str(folder), state.state, state.step, run.max_steps, run.seconds_left, metric, best,
                     decimals, run.best_step, run.seconds, state.active, problem)  # fmt: skip


def _table(runs: Sequence[ListedRun], width: int) -> Table:
    now = time.time()
    cells = [_cells(run, now) for run in runs]
    columns, optional = list(cells[0]), list(OPTIONAL)
    while True:
        rows = [[one[column] for column in columns] for one in cells]
        if not optional or table_width(needed_widths(columns, rows, left=2)) <= width:
            return make_table(columns, rows, left=2, width=width)
        columns.remove(optional.pop(0))


def _lines_below(runs: Sequence[ListedRun]) -> list[Text]:
    """Return why runs failed or can't be read, and the folder of each run, in the order of the table."""
    problems = [Text(f"{run.name}: {run.problem}", style="red") for run in runs if run.problem]
    return [*problems, *(Text.assemble((f"{run.name}  ", "dim"), shlex.quote(run.folder)) for run in runs)]


def _cells(run: ListedRun, now: float) -> dict[str, str]:
    """Return the text of each column."""
    metric = (run.metric or "").rsplit("/", 1)[-1]
    return {
        "run": escape(run.name),
        "state": coloured(run.state),
        "step": f"{run.step}/{run.max_steps or '?'}",
        "done": f"{100 * run.step / run.max_steps:.0f} %" if run.max_steps else "-",
        "left": readable_seconds(run.seconds_left),
        "best": "-" if run.best is None else escape(f"{metric} {run.best:.{run.digits}f}"),
        "at step": "-" if run.best_step is None else str(run.best_step),
        "time": readable_seconds(run.seconds),
        "seen": f"{readable_seconds(max(now - run.active, 0))} ago",
    }
