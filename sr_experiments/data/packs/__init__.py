"""Packs: the images and videos of a folder, decoded once into one memory-mapped file."""

import os
from pathlib import Path


def cache_folder(setting: bool | str = True) -> Path:
    """Return the folder of packs that training makes: a given one, or `$SR_CACHE` or `~/.cache/sr_experiments`."""
    default = os.environ.get("SR_CACHE") or "~/.cache/sr_experiments"
    return Path(default if setting is True else str(setting)).expanduser()
