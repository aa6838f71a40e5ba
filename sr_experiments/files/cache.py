"""The folder of what is made once and kept for the next time: packs, sizes of images, networks for inference."""

import contextlib
import os
from collections import defaultdict
from pathlib import Path


def cache_folder(setting: bool | str = True) -> Path:
    """Return the folder: a given one, or `$SR_CACHE`, or sr_experiments in `$XDG_CACHE_HOME` or `~/.cache`."""
    if setting is not True:
        return Path(str(setting)).expanduser()
    if own := os.environ.get("SR_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sr_experiments"


def touch(file: Path) -> None:
    """Mark a file as used now."""
    with contextlib.suppress(OSError):
        os.utime(file)


def remove_oldest(folder: Path, limit: int) -> None:
    """Keep the last used of a folder, up to a number of names, whatever follows the first dot of the file's name."""
    used: dict[str, float] = defaultdict(float)
    files: dict[str, list[Path]] = defaultdict(list)
    for file in folder.iterdir():
        name = file.name.lstrip(".").split(".")[0]
        with contextlib.suppress(OSError):  # another process has just removed it
            used[name] = max(used[name], file.stat().st_mtime)
            files[name].append(file)
    for name in sorted(used, key=lambda name: used[name])[:-limit]:
        for file in files[name]:
            with contextlib.suppress(OSError):
                file.unlink()
