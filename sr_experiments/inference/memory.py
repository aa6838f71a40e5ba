"""How much memory inference may take."""

import contextlib
import ctypes
import resource
from pathlib import Path

import psutil

LARGEST = 3 * 2**29  # bytes; on a CPU larger tiles are not faster
# Parameters of glibc's mallopt and our values: blocks from this size on are returned to the system when they are
# freed, and all threads share one heap.
M_MMAP_THRESHOLD, BLOCK = -3, 2**20
M_ARENA_MAX, ARENAS = -8, 1


def budget_on_host() -> int:
    """Return how many bytes of main memory a network may take now: half of what is free, at most LARGEST."""
    return min(free_on_host() // 2, LARGEST)


def keep_little() -> None:
    """Return freed memory to the system at once: between frames, glibc would keep 0.2 GiB of it."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        c_library = ctypes.CDLL(None)
        c_library.mallopt(M_MMAP_THRESHOLD, BLOCK)
        c_library.mallopt(M_ARENA_MAX, ARENAS)


def free_on_host() -> int:
    """Return the free bytes of main memory, within the limits of a container and of `ulimit -v`."""
    free = psutil.virtual_memory().available
    try:  # cgroup v2
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            free = min(free, int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY:
        free = min(free, addresses - psutil.Process().memory_info().vms)
    return max(free, 0)
