"""Worker processes of a DataLoader: their number, their signals and their error messages."""

import os
import re
import signal


def worker_count(wanted: int | str, in_memory: bool, processes: int = 1) -> int:
    """Return the number of workers to start: a number that is `wanted`, or what suits "auto".

    That is 0 for data in memory, where workers would not help, else one per CPU core of this process, at most 8;
    several training processes share the cores.
    """
    if wanted != "auto":
        return int(wanted)
    if in_memory:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // processes))


def ignore_interrupt(worker: int) -> None:
    """Ignore Ctrl-C in a worker: the main process may need more batches to finish its step and stop cleanly."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def worker_message(error: BaseException) -> str:
    """Return the message of an error on one line, without the traceback that PyTorch wraps a worker's error in."""
    text = str(error)
    wrapped = re.match(r"Caught (\w+) in DataLoader worker process", text)
    if wrapped:
        messages = re.findall(rf"^(?:[\w.]+\.)?{wrapped[1]}: (.*)$", text, flags=re.MULTILINE)
        text = messages[-1] if messages else wrapped[1]
    return " ".join(text.split())
