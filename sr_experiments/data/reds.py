"""REDS (Nah et al. 2019) as unpacked: `train_sharp/000/00000000.png`, LR in `train_sharp_bicubic/X4/000`.

Clips 000, 011, 015 and 020 of the training set ("REDS4") are held out for validation, as in EDVR and later papers.
"""

from pathlib import Path
from typing import Literal

from sr_experiments.config.constraints import AnyPath, Count, InputPath, OnError, Share
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.packs.folders import is_folder
from sr_experiments.data.videos import VideoFolder, VideoValidation
from sr_experiments.errors import SRError

REDS4 = ("000", "011", "015", "020")


@TRAINING_SETS.register("reds")
class REDS(VideoFolder):
    """Training clips of REDS, excluding REDS4.

    Args:
        root: the folder that holds `train_sharp`.
        lr: "bicubic" for the LR of `train_sharp_bicubic`; if not given, LR is generated from HR.
        scene_cuts: "none", because every clip is one shot; otherwise as for `VideoFolder`.
    """

    def __init__(
        self,
        root: InputPath,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        lr: Literal["bicubic"] | None = None,
        scene_cuts: Literal["detect", "none"] | AnyPath = "none",
        moving_frame: Share = 0.3,
        on_error: OnError = "stop",
        augment: bool = True,
        cache: str | None = None,
    ) -> None:
        hr, lr_folder = _folders(root, lr, scale)
        super().__init__(hr, crop, scale, channels, seed, lr_folder, scene_cuts, moving_frame, on_error, augment, cache)

    def wants(self, name: str) -> bool:
        """Return whether a clip is used: all but REDS4."""
        return name not in REDS4


@VALIDATION_SETS.register("reds")
class REDSValidation(VideoValidation):
    """REDS4, frame by frame.

    Args:
        root: the folder that holds `train_sharp`.
        lr: "bicubic" for the LR of `train_sharp_bicubic`; if not given, LR is generated from HR.
    """

    def __init__(
        self,
        root: InputPath,
        scale: int,
        channels: int = 3,
        lr: Literal["bicubic"] | None = None,
        limit: Count | None = None,
        frames: Count | None = None,
        cache: str | None = None,
    ) -> None:
        hr, lr_folder = _folders(root, lr, scale)
        missing = [name for name in REDS4 if not is_folder(Path(hr, name))]
        if missing:
            raise SRError(f"{hr} lacks {', '.join(missing)} of REDS4: unpack all of train_sharp there")
        super().__init__(scale, channels, hr, lr=lr_folder, limit=limit, frames=frames, cache=cache)

    def wants(self, name: str) -> bool:
        """Return whether a clip is used: only REDS4."""
        return name in REDS4


def _folders(root: str, lr: str | None, scale: int) -> tuple[str, str | None]:
    hr_folder = Path(root).expanduser() / "train_sharp"
    lr_folder = hr_folder.with_name("train_sharp_bicubic") / f"X{scale}"
    for folder in (hr_folder, lr_folder if lr else hr_folder):
        if not is_folder(folder):
            raise SRError(f"no folder {folder}: root={root} must be where REDS was unpacked")
    return str(hr_folder), str(lr_folder) if lr else None
