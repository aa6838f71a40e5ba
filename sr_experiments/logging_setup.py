"""Where log messages go: the terminal, above the progress bars, and a run's file."""

import logging
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from sr_experiments.errors import one_line


def log_to_console(console: Console, level: int = logging.INFO, times: bool = False) -> None:
    """Log messages appear on `console`, and nowhere else any more; other libraries' only with warnings.

    Args:
        console: on a terminal messages appear above its progress bars, elsewhere as whole lines on stderr.
        level: of this project's own messages.
        times: begin each with the time of day.
    """
    # Files of messages, also W&B's, are written as far as the disk allows: no traceback for each line that has no room.
    logging.raiseExceptions = False
    root = logging.getLogger()
    for earlier in [h for h in root.handlers if h.name == __name__]:  # of the command before, in this process
        root.removeHandler(earlier)
        earlier.close()
    handler: logging.Handler
    if console.is_terminal or not times:
        handler = RichHandler(console=console, show_path=False, show_level=False, show_time=times, log_time_format="%X")
    else:  # whole lines, for files and pipes
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%X"))
    handler.name = __name__
    handler.addFilter(_in_one_line)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("sr_experiments").setLevel(level)


def log_to_file(file: Path) -> None:
    """They also go to a file, with date and level, until the next `log_to_console`."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.name = __name__
    handler.addFilter(_in_one_line)
    logging.getLogger().addHandler(handler)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Messages name files, whose names can hold anything."""
    if record.name.startswith("sr_experiments"):
        record.msg, record.args = one_line(record.getMessage()), ()
    return True
