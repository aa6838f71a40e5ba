"""Two folders, HR and LR, whose images belong together by name."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from sr_experiments.config.constraints import Count, OnError
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.image_files import UnreadableImage, natural_key
from sr_experiments.data.images import as_tensor, picture_name
from sr_experiments.data.packs.folders import FileFolder, is_folder, open_folder
from sr_experiments.data.training_crops import TrainingCrops, first_few
from sr_experiments.errors import SRError

Size = tuple[int, int] | UnreadableImage


@TRAINING_SETS.register("paired")
class PairedFolder(TrainingCrops):
    """Training crops of HR and LR at the same place, in the same orientation.

    Args:
        hr: folder of HR images, or a pack of it.
        lr: folder of LR images, or one that holds them in `X2`, `X3`, `X4`. Names are those of HR, possibly
            with the usual additions: `0001x4`, `0001_LRBI_x4`, `lr_0001`, `img_SRF_4_LR`.
        crop: side of the HR crop, a multiple of `scale`.
        scale: upsampling factor.
        channels: 3 for RGB, 1 for grey.
        seed: of the run.
        on_error: "stop" at a pair that can't be read, or "skip" to another.
        augment: turn and mirror crops at random.
        cache: folder of packs to read from instead; see `open_folder`.

    Raises:
        SRError: names or sizes don't pair, an image is smaller than the crop, or unreadable.
    """

    def __init__(
        self,
        hr: str,
        lr: str,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        on_error: OnError = "stop",
        augment: bool = True,
        cache: str | None = None,
    ) -> None:
        self.folders = open_pair(hr, lr, scale, cache, on_error)
        pairs = pair_images(*self.folders, scale)
        super().__init__([path for path, _ in pairs], crop, scale, seed, on_error, augment)
        self.lr_paths = [path for _, path in pairs]
        self.channels = channels
        hr_sizes = _checked_sizes(self.folders, pairs, scale)
        self.check_sizes(hr_sizes)

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read pair `index`."""
        return {
            "hr": self.folders[0].read(self.paths[index], self.channels),
            "lr": self.folders[1].read(self.lr_paths[index], self.channels),
        }


@VALIDATION_SETS.register("paired")
class PairedValidation(Dataset[dict[str, Any]]):
    """Whole pairs for validation: `{"hr": uint8 (C, H, W), "lr": uint8 (C, H / scale, W / scale), "name": str}`.

    Args:
        hr: folder of HR images.
        lr: folder of LR images, named as for `PairedFolder`.
        scale: upsampling factor.
        channels: 3 for RGB, 1 for grey.
        limit: use only this many pairs, from the first.
        cache: folder of packs to read from instead; see `open_folder`.

    Raises:
        SRError: names or sizes don't pair.
    """

    def __init__(
        self, hr: str, lr: str, scale: int, channels: int = 3, limit: Count | None = None, cache: str | None = None
    ) -> None:
        self.root = Path(hr).expanduser()
        self.folders = open_pair(hr, lr, scale, cache)
        self.pairs = pair_images(*self.folders, scale)[:limit]
        self.scale = scale
        self.channels = channels
        for size in _checked_sizes(self.folders, self.pairs, scale):
            if isinstance(size, UnreadableImage):
                raise size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Pair `index`."""
        hr_path, lr_path = self.pairs[index]
        hr, lr = (
            folder.read(path, self.channels) for folder, path in zip(self.folders, (hr_path, lr_path), strict=True)
        )
        hr = hr[: lr.shape[0] * self.scale, : lr.shape[1] * self.scale]
        return {"hr": as_tensor(hr), "lr": as_tensor(lr), "name": picture_name(hr_path, self.root)}


def pair_files(hr: str, lr: str, scale: int) -> list[tuple[Path, Path]]:
    """HR files with their LR files, in natural order; equal names first, then names without their additions.

    Raises:
        SRError: a file without its partner, or with several; names the first few.
    """
    return pair_images(*open_pair(hr, lr, scale), scale)


def open_pair(
    hr: str, lr: str, scale: int, cache: str | None = None, on_error: str = "stop"
) -> tuple[FileFolder, FileFolder]:
    """The folders of HR and of LR, the latter that of the scale; arguments as for `open_folder`."""
    lr_root = scale_folder(Path(lr).expanduser(), scale)
    return open_folder(hr, cache, on_error), open_folder(lr_root, cache, on_error)


def pair_images(hr: FileFolder, lr: FileFolder, scale: int) -> list[tuple[Path, Path]]:
    """As `pair_files`, of folders that are open."""
    hr_root, lr_root = hr.root, lr.root
    hr_left = {path.relative_to(hr_root).as_posix(): path for path in hr.images()}
    lr_left = {path.relative_to(lr_root).as_posix(): path for path in lr.images()}
    pairs: list[tuple[str, Path, Path]] = []
    problems: list[str] = []
    for key in (_stem, lambda name: _bare_name(name, scale)):
        hr_by_key, lr_by_key = _grouped(hr_left, key), _grouped(lr_left, key)
        for common, hr_names in hr_by_key.items():
            lr_names = lr_by_key.get(common, [])
            if not lr_names:
                continue
            if len(hr_names) > 1 or len(lr_names) > 1:
                problems.append(f"HR {', '.join(hr_names)} could each be of LR {', '.join(lr_names)}")
            else:
                pairs.append((hr_names[0], hr_left[hr_names[0]], lr_left[lr_names[0]]))
            for name in hr_names:
                del hr_left[name]
            for name in lr_names:
                del lr_left[name]
    problems += [f"HR {name} has no LR" for name in hr_left] + [f"LR {name} has no HR" for name in lr_left]
    if problems:
        raise SRError(f"{hr_root} and {lr_root} don't pair: {first_few(problems)}")
    return [(hr_path, lr_path) for _, hr_path, lr_path in sorted(pairs, key=lambda pair: natural_key(pair[0]))]


def _checked_sizes(folders: tuple[FileFolder, FileFolder], pairs: list[tuple[Path, Path]], scale: int) -> list[Size]:
    """Sizes (height, width) of the HR images, of the part that LR covers; the damage where a pair has some.

    Raises:
        SRError: a pair whose sizes don't fit the scale; names the first few.
    """
    hr_sizes, lr_sizes = (folder.sizes([pair[i] for pair in pairs]) for i, folder in enumerate(folders))
    checked: list[Size] = []
    problems = []
    for (hr_path, lr_path), hr, lr in zip(pairs, hr_sizes, lr_sizes, strict=True):
        if isinstance(hr, UnreadableImage):
            checked.append(hr)
        elif isinstance(lr, UnreadableImage):
            checked.append(lr)
        else:
            wanted = (hr[0] // scale, hr[1] // scale)
            if lr != wanted:
                problems.append(
                    f"{hr_path} is {hr[1]}x{hr[0]}, so {lr_path} should be {wanted[1]}x{wanted[0]}, "
                    f"but it is {lr[1]}x{lr[0]}"
                )
            checked.append((lr[0] * scale, lr[1] * scale))
    if problems:
        raise SRError(f"sizes of pairs don't fit scale={scale}: {first_few(problems, 3)}")
    return checked


def scale_folder(root: Path, scale: int) -> Path:
    """The subfolder for the scale, `X4` or `x4`, where there is one."""
    return next((root / name for name in (f"X{scale}", f"x{scale}") if is_folder(root / name)), root)


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _bare_name(name: str, scale: int) -> str:
    """The name without extension and without what datasets add to tell LR from HR."""
    folder, _, stem = _stem(name).rpartition("/")
    stem = re.sub(r"^(lr|hr|gt|lq)_", "", stem, flags=re.IGNORECASE)
    added = rf"(_SRF_{scale})?(_(LR|HR|LQ|GT|LRBI|LRBD|bicubic))?(_?x{scale}m?)?"
    stem = re.sub(rf"(?<=.){added}$", "", stem, flags=re.IGNORECASE)
    return f"{folder}/{stem}"


def _grouped(names: dict[str, Path], key: Any) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups
