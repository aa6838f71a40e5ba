"""Worker processes of a DataLoader: how many, how they behave, and what they have to say."""

import os
import re
import signal


def worker_count(wanted: int | str, in_memory: bool, processes: int = 1) -> int:
    """How many workers to start.

    Args:
        wanted: a number, or "auto": none for data in memory, else one per CPU core of this process, at most 8.
        in_memory: whether loading costs nothing.
        processes: training processes that share the cores.
    """
    if wanted != "auto":
        return int(wanted)
    if in_memory:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // processes))


def ignore_interrupt(worker: int) -> None:
    """Leave Ctrl-C to the main process, which may still want batches to end in good order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def worker_message(error: BaseException) -> str:
    """The message of an error, on one line, also if it comes from a worker wrapped in its traceback."""
    text = str(error)
    wrapped = re.match(r"Caught (\w+) in DataLoader worker process", text)
    if wrapped:
        messages = re.findall(rf"^(?:[\w.]+\.)?{wrapped[1]}: (.*)$", text, flags=re.MULTILINE)
        text = messages[-1] if messages else wrapped[1]
    return " ".join(text.split())
