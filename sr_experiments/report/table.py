"""The comparison, and the list of runs, on the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sr_experiments.report.comparison import Comparison, Measured
from sr_experiments.report.differences import text

WIDEST = 40  # characters of a setting
COLOURS = {
    "running": "cyan",
    "finished": "green",
    "pruned": "magenta",
    "failed": "red",
    "interrupted": "yellow",
    "unreadable": "red",
}


def show(comparison: Comparison, console: Console) -> None:
    """Print it, runs as rows, or as columns where there are few of them and much to say."""
    rows = _cells(comparison)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    runs = len(comparison.runs)
    if runs <= 4 and len(rows) > 8:
        columns = [[label, *values] for label, values in rows]
        for i, name in enumerate(columns[0]):
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in columns[1:]:
            table.add_row(*row)
    else:
        words = 2 + len(comparison.knobs)
        for i, (label, _) in enumerate(rows):
            table.add_column(label, justify="left" if i < words else "right", overflow="fold")
        for i in range(runs):
            table.add_row(*(values[i] for _, values in rows))
    console.print(table)
    console.print("metrics are those of the best checkpoint, in brackets the difference to bicubic's", style="dim")
    for note in comparison.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for what, why in {k: v for run in comparison.runs for k, v in run.left_out().items()}.items():
        console.print(f"not measured or used: {what}: {why}", style="yellow", markup=False, soft_wrap=True)


def coloured(state: str) -> str:
    """A state in its colour."""
    return f"[{COLOURS[state]}]{state}[/]" if state in COLOURS else escape(state)


def readable_seconds(seconds: float | None) -> str:
    """A time span in its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def _cells(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """What there is to say, each with its value in every run."""
    runs = comparison.runs
    rows: list[tuple[str, list[str]]] = [
        ("run", [escape(run.name) for run in runs]),
        ("state", [coloured(run.state.state) for run in runs]),
    ]
    rows += [(escape(knob.label), [escape(_cut(text(value))) for value in knob.values]) for knob in comparison.knobs]
    one_set = len({metric.rsplit("/", 1)[0] for metric in comparison.metrics}) == 1
    for metric in comparison.metrics:
        best = comparison.best(metric)
        cells = [_value(of.get(metric), comparison.digits[metric]) for of in comparison.measured]
        label = metric.rsplit("/", 1)[-1] if one_set else metric
        rows.append((escape(label), [f"[bold]{cell}[/]" if i in best else cell for i, cell in enumerate(cells)]))
    parameters = [run.summary.get("parameters") for run in runs]
    rows.append(("parameters", [f"{p:,}" if isinstance(p, int) else "-" for p in parameters]))
    speeds = [run.speed() for run in runs]
    rows.append(("samples/s", ["-" if speed is None else f"{speed:.3g}" for speed in speeds]))
    rows.append(("time", [readable_seconds(run.seconds) for run in runs]))
    rows.append(("step", [f"{run.state.step}/{run.max_steps or '?'}" for run in runs]))
    rows.append(("best at", ["-" if run.best_step is None else str(run.best_step) for run in runs]))
    return rows


def _value(measured: Measured | None, digits: int) -> str:
    if measured is None or measured.shown is None:
        return "-"
    gain = "" if measured.bicubic is None else f" ({measured.shown - measured.bicubic:+.{digits}f})"
    return f"{measured.shown:.{digits}f}{gain}"


def _cut(value: str) -> str:
    return value if len(value) <= WIDEST else value[: WIDEST - 1] + "…"


def terminal(width: int = 200) -> Console:
    """For tables on stdout: as wide as the terminal, or as a file may be."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, width))


def runs_table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    """A plain table, the first two columns to the left."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < 2 else "right", no_wrap=i > 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
