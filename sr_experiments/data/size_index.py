"""Image sizes cached between runs: reading the headers of a hundred thousand files takes many seconds."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from sr_experiments.data.image_files import Size, UnreadableImage, image_sizes
from sr_experiments.errors import SRError
from sr_experiments.files.cache import cache_folder
from sr_experiments.files.writing import replacing

log = logging.getLogger(__name__)

CACHED_FROM = 2000  # number of files from which on sizes are cached


def indexed_sizes(root: Path, paths: Sequence[Path]) -> list[Size]:
    """Do the same as `image_sizes`, reading only the headers of files that are new or have changed.

    The cache is a JSON file per root in `sizes` in the cache folder, which maps names below the root to [modification
    time in ns, bytes, height, width]. If it can't be written, nothing is cached.
    """
    if len(paths) < CACHED_FROM:
        return image_sizes(paths)
    start = len(str(root)) + 1
    names = [str(path)[start:] for path in paths]
    index = cache_folder() / "sizes" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:32]}.json"
    known = _read(index)
    stamps = [_stamp(path) for path in paths]
    stale = [i for i, name in enumerate(names) if not stamps[i] or known.get(name, [])[:2] != stamps[i]]
    entries = [known.get(name, [0] * 4) for name in names]
    sizes: list[Size] = [(height, width) for _, _, height, width in entries]  # those of stale files are replaced below
    if not stale:
        return sizes
    log.info("reading the sizes of %d images", len(stale))
    for i, size in zip(stale, image_sizes([paths[i] for i in stale]), strict=True):
        sizes[i] = size
    content = {
        name: [*stamp, *size]
        for name, stamp, size in zip(names, stamps, sizes, strict=True)
        if not isinstance(size, UnreadableImage)
    }
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        with replacing(index) as temporary:
            temporary.write_text(json.dumps(content))
    except (SRError, OSError) as error:
        log.debug("image sizes are not cached: %s", error)
    return sizes


def _read(index: Path) -> dict[str, list[int]]:
    try:
        known = json.loads(index.read_bytes())
    except (OSError, ValueError):
        return {}
    valid = isinstance(known, dict) and all(isinstance(entry, list) and len(entry) == 4 for entry in known.values())
    return known if valid else {}


def _stamp(path: Path) -> list[int]:
    """Return modification time and size of a file; empty if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size]
