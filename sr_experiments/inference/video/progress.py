"""How far a video is: frames done, frames a second, and how long it will take."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

A = TypeVar("A")


class FrameProgress:
    """A progress bar of frames where the console is a terminal, else nothing; use as a context manager.

    Args:
        console: to show it on.
        done: frames that are done.
        total: all frames.
    """

    def __init__(self, console: Console, done: int, total: int) -> None:
        columns = (
            TextColumn("upscaling"),
            BarColumn(),
            MofNCompleteColumn(),
            _FPS(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("upscaling", total=total, completed=done)

    def __enter__(self) -> "FrameProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def over(self, frames: Iterable[A]) -> Iterator[A]:
        """Count what passes."""
        for frame in frames:
            yield frame
            self._bar.advance(self._task)


class _FPS(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} FPS" if task.speed else "- FPS", style="progress.data.speed")
