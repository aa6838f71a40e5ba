"""The video files and animated images that are read and written, by extension."""

from pathlib import Path

from sr_experiments.errors import SRError

# Extensions of files that are read, and the formats that are written.
EXTENSIONS = (
    *(".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".3gp"),
    *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".mxf"),
)
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# Pillow's names of the formats of animated images, which PNG and others are only if they have several pictures.
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP", ".avif": "AVIF", ".png": "PNG", ".apng": "PNG"}

# FFmpeg's encoders by the names of what they make.
CODECS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "ffv1": "ffv1",
    "prores": "prores_ks",
}


def is_clip_file(path: Path) -> bool:
    """Return whether a file to write is a video or may be an animated image, by its extension."""
    return path.suffix.lower() in (*EXTENSIONS, *ANIMATIONS)


def check_clip_file(target: Path) -> None:
    """Check that a video or an animated image can be written.

    Raises:
        SRError: unknown extension.
    """
    if target.suffix.lower() not in ANIMATIONS:
        container_of(target)


def container_of(target: Path) -> str:
    """Return FFmpeg's name of the container format of an output file.

    Raises:
        SRError: unknown extension.
    """
    try:
        return CONTAINERS[target.suffix.lower()]
    except KeyError:
        known = f"{' '.join(CONTAINERS)}, or for an animation {' '.join(ANIMATIONS)}"
        raise SRError(f"can't write video {target}: choose one of {known} as its extension") from None


def cannot_hold(target: Path, codec: str, what: str = "video") -> SRError:
    """Return the error that a container can't hold what an encoder makes."""
    advice = {
        ".webm": "give --codec libvpx-vp9 or libsvtav1, or an output in .mkv",
        ".mkv": "give another --codec, such as libx265 or ffv1",
    }.get(target.suffix.lower(), "choose an output in .mkv, or another --codec")
    return SRError(f"{target.suffix} can't hold the {what} of {codec}: {advice}")
