"""How much memory there is to work with."""

from pathlib import Path

import psutil
import torch

LARGEST = 3 * 2**29  # bytes: on a CPU more brings no speed


def budget(device: torch.device) -> int:
    """Bytes that a network may take on a device now: half of what is free, at most LARGEST on a CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (free + cached) // 2
    return min(free_on_host() // 2, LARGEST)


def free_on_host() -> int:
    """Bytes of main memory that can be had, within the limit of a container."""
    free = psutil.virtual_memory().available
    try:  # cgroup v2
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            free = min(free, int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(free, 0)
