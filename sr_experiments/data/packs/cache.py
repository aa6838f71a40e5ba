"""Packs that training makes automatically (`data.cache`): one per folder, made again when the folder has changed."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from sr_experiments.data.packs.pack import Pack
from sr_experiments.data.packs.packing import pack
from sr_experiments.data.packs.sources import scan
from sr_experiments.errors import SRError
from sr_experiments.video.decode import EXTENSIONS as VIDEO_EXTENSIONS


def cache_folder(setting: bool | str | None) -> Path | None:
    """Return the cache folder, or None for no cache.

    Args:
        setting: false or None for no cache; true for `$SR_CACHE`, by default `~/.cache/sr_experiments`; or a folder.

    Raises:
        SRError: the setting is something else.
    """
    if setting is None or setting is False:
        return None
    if setting is True:
        return Path(os.environ.get("SR_CACHE") or "~/.cache/sr_experiments").expanduser()
    if not isinstance(setting, str) or not setting:
        raise SRError(f"data.cache={setting!r}: choose true, false or a folder")
    return Path(setting).expanduser()


def cached(
    source: Path, cache: Path, on_error: str = "stop", only: Sequence[str] | None = None, videos: bool = False
) -> Pack:
    """Return the pack of a folder; make it if there is none, if it is damaged or if the folder has changed.

    Args:
        source: the folder.
        cache: the cache folder.
        on_error: "stop" at a file that can't be read, or "skip" it.
        only: names of the subfolders to pack.
        videos: whether to pack video files too.

    Raises:
        SRError: as raised by `pack`.
    """
    root = source.resolve()
    # A folder without videos has one pack, whether videos were asked for or not.
    videos = any(file.name.lower().endswith(VIDEO_EXTENSIONS) for file in scan(root, only, videos))
    key = hashlib.sha256("\0".join([str(root), str(videos), *(only or [])]).encode("utf-8", "surrogateescape"))
    folder = cache / f"{root.name}-{key.hexdigest()[:16]}"
    return pack(root, folder, on_error=on_error, only=only, videos=videos, option="data.cache=<folder>")
