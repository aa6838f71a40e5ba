"""Is somebody training here? A file that says who, and what to conclude where there is none."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sr_experiments.files import write_json

FILE = "running.json"


@contextlib.contextmanager
def present(folder: Path) -> Iterator[None]:
    """Leave `running.json` in a run's folder while its process trains; a killed process leaves it behind."""
    import psutil

    me = psutil.Process()
    write_json(folder / FILE, {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time()})
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


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
