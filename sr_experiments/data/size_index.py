"""Sizes of images, remembered from run to run: of a hundred thousand files the headers alone take many seconds."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from sr_experiments.data.image_files import UnreadableImage, image_sizes
from sr_experiments.data.packs.cache import cache_folder
from sr_experiments.errors import SRError
from sr_experiments.files import replacing

log = logging.getLogger(__name__)

MANY = 2000  # files; fewer are looked at each time


def indexed_sizes(root: Path, paths: Sequence[Path]) -> list[tuple[int, int] | UnreadableImage]:
    """As `image_sizes`; headers are read only of files that are new or changed since the last time.

    What is known lies in `sizes` in the cache folder, a JSON file for each root: name below it to [time of change in
    ns, bytes, height, width]. Where nothing can be written, nothing is remembered.

    Args:
        root: the folder that all files lie below.
        paths: of the files.
    """
    if len(paths) < MANY:
        return image_sizes(paths)
    start = len(str(root)) + 1
    names = [str(path)[start:] for path in paths]
    cache = cache_folder(True)
    assert cache is not None
    index = cache / "sizes" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:32]}.json"
    known = _read(index)
    stamps = [_stamp(path) for path in paths]
    fresh = [i for i, name in enumerate(names) if not stamps[i] or known.get(name, [])[:2] != stamps[i]]
    sizes: list[tuple[int, int] | UnreadableImage] = [tuple(known.get(name, ())[2:]) for name in names]  # type: ignore[misc]
    if not fresh:
        return sizes
    log.info("reading the sizes of %d images", len(fresh))
    for i, size in zip(fresh, image_sizes([paths[i] for i in fresh]), strict=True):
        sizes[i] = size
    found = {
        name: [*stamp, *size]
        for name, stamp, size in zip(names, stamps, sizes, strict=True)
        if not isinstance(size, UnreadableImage)
    }
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        with replacing(index) as temporary:
            temporary.write_text(json.dumps(found))
    except (SRError, OSError) as error:
        log.debug("sizes of images are not remembered: %s", error)
    return sizes


def _read(index: Path) -> dict[str, list[int]]:
    try:
        known = json.loads(index.read_bytes())
    except (OSError, ValueError):
        return {}
    whole = isinstance(known, dict) and all(isinstance(of, list) and len(of) == 4 for of in known.values())
    return known if whole else {}


def _stamp(path: Path) -> list[int]:
    """When a file changed last, and its bytes; nothing where there is none."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size]
