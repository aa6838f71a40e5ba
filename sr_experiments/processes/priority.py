"""The priority of this process, which an encoder may raise."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def normal_priority() -> Iterator[None]:
    """Restore the scheduling of this process's threads after an encoder was opened.

    If permitted, SVT-AV1 makes this thread and its own real-time threads, which starve all others.
    """
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in (int(task.name) for task in Path("/proc/self/task").iterdir()):
            with contextlib.suppress(OSError):  # the thread has ended
                if os.sched_getscheduler(thread) != before[0]:
                    os.sched_setscheduler(thread, *before)
