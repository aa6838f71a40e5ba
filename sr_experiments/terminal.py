"""How commands print: consoles, tables, error lines, labelled lines, durations and progress bars."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table


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


def print_error(console: Console, error: object) -> None:
    """Print `error: ...` in red, as one line that a shell may wrap but rich does not."""
    console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)


def print_labelled(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Print (label, text) pairs in two columns; a text stays on one line, so that a command can be copied."""
    for label, text in lines:
        console.print(f"  {label:<13}{text}", markup=False, highlight=False, soft_wrap=True)


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


@contextmanager
def job_progress(console: Console, transient: bool = False) -> Iterator[Progress]:
    """Show a progress bar of jobs with the time that is left; it shows nothing where `console` is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=hidden, transient=transient) as progress:
        yield progress
