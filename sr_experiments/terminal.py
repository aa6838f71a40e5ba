"""How commands print: consoles, tables, error lines, labelled lines, durations and progress bars."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

WHOLE = Column(no_wrap=True)  # of a progress bar's numbers: where the line is too long, texts and the bar shrink


def stdout_console() -> Console:
    """Return a console for tables on stdout: as wide as the terminal; in a file or a pipe at least 200 characters."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 200))


def stderr_console() -> Console:
    """Return a console for messages on stderr: as wide as the terminal; in a file or a pipe 160 characters."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else 160)


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1, fold_all: bool = True) -> Table:
    """Return a table without lines, from titles and cells in rich markup.

    The first `left` columns are aligned left, the others right. In a narrow terminal long cells of all columns are
    folded, without `fold_all` those of the first only.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        no_wrap = i > 0 and not fold_all
        table.add_column(column, justify="left" if i < left else "right", no_wrap=no_wrap, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def gain_text(gain: float, digits: int) -> str:
    """Format how much better a value is, in rich markup: +0.52 in green, -0.52 in red."""
    text = f"{gain:+.{digits}f}"
    if float(text) == 0:
        return f"{0:.{digits}f}"
    return f"[{'green' if gain > 0 else 'red'}]{text}[/]"


def print_error(console: Console, error: object) -> None:
    """Print `error: ...` in red, as one line that a shell may wrap but rich does not."""
    console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)


def print_labelled(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Print (label, text) pairs in two columns; a text stays on one line, so that a command can be copied."""
    for label, text in lines:
        console.print(f"  {label:<13}{text}", markup=False, highlight=False, soft_wrap=True)


def print_conventions(console: Console, conventions: Mapping[str, str]) -> None:
    """Print what metrics measure, by name, in two columns; a long text goes on below its beginning."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in conventions.items():
        table.add_row(Text(f"  {name}"), Text(text))
    console.print(table, style="dim", highlight=False)


def readable_seconds(seconds: float | None) -> str:
    """Format a duration in its two largest units; "-" for None."""
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


class Parts:
    """Texts on one line, two spaces apart: as many as there is room for, in their order."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = [text for text in texts if text]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Any width will do."""
        return Measurement(0, min(cell_len("  ".join(self.texts)), options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the parts that fit; the first one is cut if it does not."""
        count = len(self.texts)
        while count > 1 and cell_len("  ".join(self.texts[:count])) > options.max_width:
            count -= 1
        yield Text("  ".join(self.texts[:count]), no_wrap=True, overflow="ellipsis")


class PartsColumn(ProgressColumn):
    """A task's `parts`, texts of which as many are shown as there is room for; without them its description."""

    def render(self, task: Task) -> Parts:
        """Give the parts of a task."""
        return Parts(task.fields.get("parts", [task.description]))


def bar_column(widest: int = 40) -> BarColumn:
    """Return a bar that is `widest` characters wide at most, and shrinks."""
    return BarColumn(bar_width=None, table_column=Column(max_width=widest))


def make_progress(console: Console, *numbers: ProgressColumn, transient: bool = False) -> Progress:
    """Return a progress bar: what is done, a bar, `numbers`, the time spent and the time left.

    It shows nothing where `console` is no terminal. Give `numbers` the table column WHOLE.
    """
    times = (TimeElapsedColumn(table_column=WHOLE), TimeRemainingColumn(table_column=WHOLE))
    columns = (PartsColumn(), bar_column(), *numbers, *times)
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=transient)


@contextmanager
def job_progress(console: Console, transient: bool = False) -> Iterator[Progress]:
    """Show a progress bar of jobs with the time that is left; it shows nothing where `console` is no terminal."""
    with make_progress(console, MofNCompleteColumn(table_column=WHOLE), transient=transient) as progress:
        yield progress
