"""The video files that are read and written, by extension."""

from pathlib import Path

from sr_experiments.errors import SRError

EXTENSIONS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts", ".mpg", ".mpeg")  # that are read
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}  # that are written


def container_of(target: Path) -> str:
    """Return FFmpeg's name of the container format of an output file.

    Raises:
        SRError: unknown extension.
    """
    try:
        return CONTAINERS[target.suffix.lower()]
    except KeyError:
        known = " ".join(CONTAINERS)
        raise SRError(f"can't write video {target}: choose one of {known} as its extension") from None
