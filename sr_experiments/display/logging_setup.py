"""Logging setup: messages on the terminal, above the progress bars, and in a run's train.log."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from sr_experiments.errors import one_line

NOT_OURS = ("pytorch_lightning", "lightning_fabric")  # their INFO messages tell a user nothing
IGNORED_WARNINGS = (
    ".*does not have many workers.*",  # the progress bar shows the share of time spent waiting for data
    ".*module\\(s\\) in eval mode.*",  # the EMA weights, as they should be
    ".*LeafSpec.*",
    ".*`srun` command is available.*",  # a run on the login node of a cluster is meant to be there
)


def log_training(console: Console, level: int = logging.INFO) -> None:
    """Log a training to `console`, with the time of day, and silence Lightning's messages and harmless warnings."""
    log_to_console(console, level, times=True)
    for name in NOT_OURS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def log_to_console(console: Console, level: int = logging.INFO, times: bool = False) -> None:
    """Log to `console` only, until the next call: this project's messages from `level` on, of others warnings.

    On a terminal they appear above its progress bars; elsewhere as one line each on stderr. With `times`, each starts
    with the time of day.
    """
    # A full disk must not print a traceback for every line that a file handler, ours or W&B's, can't write.
    logging.raiseExceptions = False
    root = logging.getLogger()
    for earlier in [h for h in root.handlers if h.name == __name__]:  # of an earlier command in this process
        root.removeHandler(earlier)
        earlier.close()
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False, show_time=times, log_time_format="%X")
        _add(handler)
    else:  # rich would wrap lines in files and pipes
        _add(logging.StreamHandler(), logging.Formatter("%(asctime)s %(message)s" if times else "%(message)s", "%X"))
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("sr_experiments").setLevel(level)


def log_to_file(file: Path) -> None:
    """Log to a file too, with date and level, until the next `log_to_console`."""
    _add(logging.FileHandler(file, encoding="utf-8"), logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress warnings and log messages, and restore the setup of logging, which OpenVINO's converter changes."""
    root = logging.getLogger()
    level, filters, handlers, disabled = root.level, list(root.filters), list(root.handlers), root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


def _add(handler: logging.Handler, formatter: logging.Formatter | None = None) -> None:
    """Add a handler to the root logger under our name, by which `log_to_console` finds it."""
    if formatter is not None:
        handler.setFormatter(formatter)
    handler.name = __name__
    handler.addFilter(_escape)
    logging.getLogger().addHandler(handler)


def _escape(record: logging.LogRecord) -> bool:
    """Escape what can't be printed in our messages: file names in them can hold line breaks and terminal codes."""
    if record.name.startswith("sr_experiments"):
        record.msg, record.args = one_line(record.getMessage()), ()
    return True
