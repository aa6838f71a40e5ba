"""The run lock: a file in a run folder that names the process that is training there.

The file alone locks nothing, since a killed process leaves it behind: a run is locked while that process lives.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sr_experiments.errors import SRError
from sr_experiments.files.writing import write_json

FILE = "running.json"


@contextlib.contextmanager
def run_lock(folder: Path, use: str = "trained") -> Iterator[None]:
    """Hold the lock of a run folder, `running.json`; an SRError if another living process holds it."""
    import psutil

    process = psutil.Process()
    with _folder_flock(folder):  # two processes must not both find the folder unlocked
        if is_locked(folder):
            raise SRError(f"{folder} is being {use} by another process: wait for it, or end it (Ctrl-C there)")
        write_json(folder / FILE, {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()})
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # A lock that can't be removed is harmless: its process is not alive for long.
            (folder / FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _folder_flock(folder: Path) -> Iterator[None]:
    """Hold an exclusive flock on a folder; does nothing where the system has no flock or the file system refuses it."""
    descriptor = None
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_locked(folder: Path) -> bool | None:
    """Return whether the process that `running.json` names is alive; None if there is none, or on another machine."""
    import psutil

    try:
        lock = json.loads((folder / FILE).read_text(encoding="utf-8"))
        host, pid, started = str(lock["host"]), int(lock["pid"]), float(lock["started"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if host != socket.gethostname():
        return None
    if pid == os.getpid():
        return True
    try:
        # The start time tells the process from a later one that got the same number.
        return abs(psutil.Process(pid).create_time() - started) < 1
    except psutil.Error:
        return False
