"""Is somebody training here? A file that says who, and what to conclude where there is none."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sr_experiments.errors import SRError
from sr_experiments.files import write_json

FILE = "running.json"


@contextlib.contextmanager
def present(folder: Path) -> Iterator[None]:
    """Leave `running.json` in a run's folder while its process trains; a killed process leaves it behind.

    Raises:
        SRError: another process trains there.
    """
    import psutil

    me = psutil.Process()
    with _one_at_a_time(folder):
        if is_present(folder):
            raise SRError(f"{folder} is being trained by another process: wait for it, or end it (Ctrl-C there)")
        write_json(folder / FILE, {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time()})
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Only one process at a time is within, where the system has locks on folders."""
    place = None
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        place = os.open(folder, os.O_RDONLY)
        fcntl.flock(place, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if place is not None:
            os.close(place)


def is_present(folder: Path) -> bool | None:
    """Whether the process that left `running.json` lives; None where that can't be known from here."""
    import psutil

    try:
        left = json.loads((folder / FILE).read_text(encoding="utf-8"))
        host, pid, started = str(left["host"]), int(left["pid"]), float(left["started"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if host != socket.gethostname():
        return None
    if pid == os.getpid():
        return True
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1
    except psutil.Error:
        return False
