"""How commands print: consoles, tables, error lines, labelled lines, durations and progress bars."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

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

TEXT, TITLE = 24, 12  # characters of a text and of a title in a table that is too wide for the terminal
Row: TypeAlias = Sequence[str] | None  # cells in rich markup; None begins a section
WHOLE = Column(no_wrap=True)  # of a progress bar's numbers: where the line is too long, texts and the bar shrink


def stdout_console() -> Console:
    """Return a console for tables on stdout: as wide as the terminal; in a file or a pipe at least 200 characters."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 200))


def stderr_console() -> Console:
    """Return a console for messages on stderr: as wide as the terminal; in a file or a pipe 160 characters."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else 160)


def make_table(columns: Sequence[str], rows: Sequence[Row], left: int = 1, width: int | None = None) -> Table:
    """Return a table without lines, from titles and cells in rich markup; a row of None begins a new section.

    The first `left` columns are texts, aligned left, the others numbers, aligned right. Where the table is too wide,
    texts are folded; numbers too, unless the `width` of the terminal is given.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    needed = needed_widths(columns, rows, left)
    widest = [max(_length(cell) for cell in column) for column in zip(columns, *filter(None, rows), strict=True)]
    narrow = width is not None and table_width(widest) > width
    for i, column in enumerate(columns):
        if i < left:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", overflow="fold", width=needed[i] if narrow else None)
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*row)
    return table


def print_table(
    console: Console, columns: Sequence[str], rows: Sequence[Row], left: int = 1, repeated: int = 1
) -> None:
    """Print a table of `make_table`; one that is too wide in several parts, with the first columns repeated in each."""
    needed = needed_widths(columns, rows, left)
    parts: list[list[int]] = [[]]
    for i in range(repeated, len(columns)):
        if parts[-1] and table_width([needed[k] for k in (*range(repeated), *parts[-1], i)]) > console.width:
            parts.append([])
        parts[-1].append(i)
    for part in parts:
        kept = [*range(repeated), *part]
        cells = [row and [row[i] for i in kept] for row in rows]
        console.print(make_table([columns[i] for i in kept], cells, sum(i < left for i in kept), console.width))


def needed_widths(columns: Sequence[str], rows: Iterable[Row], left: int) -> list[int]:
    """Return the width of each column at which no number is folded; texts and titles may be, to TEXT and TITLE."""
    widths = []
    for i, column in enumerate(columns):
        widest = max((_length(row[i]) for row in rows if row), default=0)
        widths.append(max(min(widest, TEXT) if i < left else widest, min(_length(column), TITLE)))
    return widths


def table_width(widths: Sequence[int]) -> int:
    """Return the width of a table with columns of these widths."""
    return sum(widths) + 3 * (len(widths) - 1) + 2


def _length(markup: str) -> int:
    return max(map(cell_len, Text.from_markup(markup).plain.split("\n")))


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


class ReportingConsole(Console):
    """A console that shows nothing; its progress bars call `report` with the share that is done, in [0, 1]."""

    def __init__(self, report: Callable[[float], None]) -> None:
        super().__init__(file=io.StringIO())
        self.report = report


class _ReportingProgress(Progress):
    def update(self, *arguments: Any, **fields: Any) -> None:
        super().update(*arguments, **fields)
        self._report()

    def advance(self, *arguments: Any, **fields: Any) -> None:
        super().advance(*arguments, **fields)
        self._report()

    def _report(self) -> None:
        assert isinstance(self.console, ReportingConsole)
        self.console.report(self.tasks[-1].percentage / 100)


def bar_column(widest: int = 40) -> BarColumn:
    """Return a bar that is `widest` characters wide at most, and shrinks."""
    return BarColumn(bar_width=None, table_column=Column(max_width=widest))


def make_progress(console: Console, *numbers: ProgressColumn, transient: bool = False) -> Progress:
    """Return a progress bar: what is done, a bar, `numbers`, the time spent and the time left.

    It shows nothing where `console` is no terminal; to a `ReportingConsole` it reports. Give `numbers` the table column
    WHOLE.
    """
    times = (TimeElapsedColumn(table_column=WHOLE), TimeRemainingColumn(table_column=WHOLE))
    columns = (PartsColumn(), bar_column(), *numbers, *times)
    kind = _ReportingProgress if isinstance(console, ReportingConsole) else Progress
    return kind(*columns, console=console, disable=not console.is_terminal, transient=transient)


@contextmanager
def job_progress(console: Console, transient: bool = False) -> Iterator[Progress]:
    """Show a progress bar of jobs with the time that is left; it shows nothing where `console` is no terminal."""
    with make_progress(console, MofNCompleteColumn(table_column=WHOLE), transient=transient) as progress:
        yield progress
