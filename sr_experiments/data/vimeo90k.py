"""Vimeo-90K septuplets (Xue et al. 2019) as unpacked: `sequences/00001/0001/im1.png` to `im7.png`.

The clips listed in `sep_trainlist.txt` are for training, those in `sep_testlist.txt` for validation.
"""

import logging
from pathlib import Path

from sr_experiments.config.constraints import Count, InputPath, OnError, Share
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.clips import TrainingClips, ValidationClips
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.packs.folders import open_folder
from sr_experiments.data.training_crops import first_few
from sr_experiments.data.videos import FrameFolder
from sr_experiments.errors import SRError

log = logging.getLogger(__name__)

FRAMES = tuple(f"im{number}.png" for number in range(1, 8))


@TRAINING_SETS.register("vimeo90k")
class Vimeo90K(TrainingClips):
    """Training clips of at most seven frames.

    Args:
        root: folder that contains `sequences` and `sep_trainlist.txt`.
        on_error: "stop" at clips that are missing or can't be read, or "skip" them.

    Raises:
        SRError: the list or clips are missing, or frames are smaller than the crop.
    """

    def __init__(
        self,
        root: InputPath,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        moving_frame: Share = 0.3,
        on_error: OnError = "stop",
        augment: bool = True,
        cache: str | None = None,
    ) -> None:
        clips = _listed_clips(root, "sep_trainlist.txt", channels, on_error=on_error, cache=cache)
        height, width = clips[0].size
        if min(height, width) < crop:
            fit = min(height, width) // scale * scale
            raise SRError(f"{clips[0].path} is {width}x{height}: smaller than data.crop={crop}; use {fit} or less")
        super().__init__(clips, crop, scale, seed, None, "none", moving_frame, on_error, augment)


@VALIDATION_SETS.register("vimeo90k")
class Vimeo90KValidation(ValidationClips):
    """Test clips, frame by frame; there are 7824, so use `limit`.

    Args:
        root: folder that contains `sequences` and `sep_testlist.txt`.
        limit: use only the first clips, up to this many.

    Raises:
        SRError: the list or clips are missing.
    """

    def __init__(
        self,
        root: InputPath,
        scale: int,
        channels: int = 3,
        limit: Count | None = None,
        frames: Count | None = None,
        cache: str | None = None,
    ) -> None:
        super().__init__(_listed_clips(root, "sep_testlist.txt", channels, limit, cache=cache), scale, None, frames)


def _listed_clips(
    root: str, list_name: str, channels: int, limit: int | None = None, on_error: str = "stop", cache: str | None = None
) -> list[FrameFolder]:
    """Return the clips of a list. All have one size (256x448 as published), so only the first header is read."""
    folder = Path(root).expanduser()
    path = folder / list_name
    try:
        names = path.read_text(encoding="utf-8").split()[:limit]
    except OSError as error:
        raise SRError(f"can't read {path}: root={root} must be where the septuplets were unpacked") from error
    sequences = folder / "sequences"
    # List each of the 96 folders once, rather than look for each of the 90,000 clips.
    opened = open_folder(sequences)
    present = {parent: opened.names(parent) for parent in sorted({name.partition("/")[0] for name in names})}
    found = [name for name in names if name.partition("/")[2] in present[name.partition("/")[0]]]
    if len(found) < len(names):
        found_names = set(found)
        missing = [name for name in names if name not in found_names]
        message = f"{sequences} lacks {len(missing)} of {len(names)} clips of {path}: {first_few(missing)}"
        if not (on_error == "skip" and found):
            raise SRError(f"{message}; unpack all of them, or use a shorter list")
        log.warning("leaving out clips: %s", message)
    if not found:
        raise SRError(f"{path} lists no clips: it needs lines such as 00001/0001")
    opened = open_folder(sequences, cache, on_error, found)
    size = opened.sizes([sequences / found[0] / FRAMES[0]])[0]
    if isinstance(size, UnreadableImage):
        raise size
    return [FrameFolder(opened, sequences / name, FRAMES, name, channels, size) for name in found]
