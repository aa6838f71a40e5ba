"""Datasets of two folders, HR and LR, whose images are paired by name."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from sr_experiments.config.constraints import Count, InputPath, OnError
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.depth import Bits
from sr_experiments.data.held_out import ValShare
from sr_experiments.data.image_files import Size, UnreadableImage, natural_key
from sr_experiments.data.images import as_tensor, check_first, image_name
from sr_experiments.data.packs.folders import FileFolder, is_folder, open_folder
from sr_experiments.data.training_crops import TrainingCrops, first_few
from sr_experiments.errors import SRError
from sr_experiments.files.walk import composed


@TRAINING_SETS.register("paired")
class PairedFolder(TrainingCrops):
    """Training crops of HR and LR at the same position and in the same orientation.

    Args:
        hr: folder of HR images, or a pack of it.
        lr: folder of LR images, or a folder that contains them in `X2`, `X3`, `X4`. File names are those of HR,
            possibly with the usual suffixes and prefixes: `0001x4`, `0001_LRBI_x4`, `lr_0001`, `img_SRF_4_LR`.

    Raises:
        SRError: names or sizes don't match, or an image is smaller than the crop or unreadable.
    """

    def __init__(
        self,
        hr: InputPath,
        lr: InputPath,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        on_error: OnError = "stop",
        augment: bool = True,
        cache: str | None = None,
        bits: Bits = 8,
    ) -> None:
        self.folders = open_pair(hr, lr, scale, cache, on_error, bits, channels)
        pairs = pair_images(*self.folders, scale)
        super().__init__([path for path, _ in pairs], crop, scale, seed, on_error, augment)
        self.lr_paths = [path for _, path in pairs]
        self.channels = channels
        self.bits = bits
        check_first(self.folders[0], self.paths[0], channels, bits)
        self.check_sizes(_checked_sizes(self.folders, pairs, scale))

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read a pair."""
        return {
            "hr": self.folders[0].read(self.paths[index], self.channels, self.bits),
            "lr": self.folders[1].read(self.lr_paths[index], self.channels, self.bits),
        }

    def split_off(self, share: ValShare) -> tuple["PairedValidation | None", str]:
        """Take a share of the pairs out of training, for validation; see `TrainingCrops.choose_held_out`."""
        chosen, words = self.choose_held_out(share, self.folders[0].root)
        if not chosen:
            return None, words
        pairs = list(zip(self.paths, self.lr_paths, strict=True))
        rest = [pair for index, pair in enumerate(pairs) if index not in set(chosen)]
        self.paths, self.lr_paths = [hr for hr, _ in rest], [lr for _, lr in rest]
        held = [pairs[index] for index in chosen]
        return PairedValidation.of(self.folders, held, self.scale, self.channels, self.bits), words


@VALIDATION_SETS.register("paired")
class PairedValidation(Dataset[dict[str, Any]]):
    """Whole pairs for validation: `{"hr": (C, H, W), "lr": (C, H / scale, W / scale), "name": str}` of the depth.

    Args:
        hr: folder of HR images.
        lr: folder of LR images, named as for `PairedFolder`.
        limit: use only the first pairs, up to this many.

    Raises:
        SRError: names or sizes don't match.
    """

    def __init__(
        self,
        hr: InputPath,
        lr: InputPath,
        scale: int,
        channels: int = 3,
        limit: Count | None = None,
        cache: str | None = None,
        bits: Bits = 8,
    ) -> None:
        self.root = Path(hr).expanduser()
        self.folders = open_pair(hr, lr, scale, cache, bits=bits, channels=channels)
        self.pairs = pair_images(*self.folders, scale)[:limit]
        self.scale = scale
        self.channels = channels
        self.bits = bits
        for size in _checked_sizes(self.folders, self.pairs, scale):
            if isinstance(size, UnreadableImage):
                raise size

    @classmethod
    def of(
        cls,
        folders: tuple[FileFolder, FileFolder],
        pairs: Sequence[tuple[Path, Path]],
        scale: int,
        channels: int,
        bits: Bits,
    ) -> "PairedValidation":
        """Return the dataset of these pairs of two folders."""
        images = cls.__new__(cls)
        images.root, images.folders, images.pairs = folders[0].root, folders, list(pairs)
        images.scale, images.channels, images.bits = scale, channels, bits
        return images

    def hr_sizes(self) -> dict[Path, Size]:
        """Return (height, width) of the HR images by path, or errors in their place, from their headers alone."""
        paths = [hr for hr, _ in self.pairs]
        return dict(zip(paths, self.folders[0].sizes(paths), strict=True))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        hr_path, lr_path = self.pairs[index]
        hr = self.folders[0].read(hr_path, self.channels, self.bits)
        lr = self.folders[1].read(lr_path, self.channels, self.bits)
        hr = hr[: lr.shape[0] * self.scale, : lr.shape[1] * self.scale]
        return {"hr": as_tensor(hr), "lr": as_tensor(lr), "name": image_name(hr_path, self.root)}


def open_pair(
    hr: str,
    lr: str,
    scale: int,
    cache: str | None = None,
    on_error: str = "stop",
    bits: Bits = 8,
    channels: int = 3,
) -> tuple[FileFolder, FileFolder]:
    """Open the folder of HR and the folder of LR of this scale; arguments as for `open_folder`."""
    lr_root = scale_folder(Path(lr).expanduser(), scale)
    opened = partial(open_folder, cache=cache, on_error=on_error, bits=bits, channels=channels)
    return opened(hr), opened(lr_root)


def pair_images(hr: FileFolder, lr: FileFolder, scale: int) -> list[tuple[Path, Path]]:
    """Pair HR files with LR files, in natural order: by equal names first, then by names without the usual additions.

    Raises:
        SRError: a file has no partner, or several; names the first few.
    """
    hr_paths, lr_paths = hr.by_name(), lr.by_name()
    pairs, problems, hr_left, lr_left = match_names(list(hr_paths), list(lr_paths), scale)
    problems += [f"HR {name} has no LR" for name in hr_left] + [f"LR {name} has no HR" for name in lr_left]
    if problems:
        raise SRError(f"{hr.root} and {lr.root} don't pair: {first_few(problems)}")
    return [(hr_paths[name], lr_paths[pairs[name]]) for name in sorted(pairs, key=natural_key)]


def match_names(
    hr: Sequence[str], lr: Sequence[str], scale: int, stem: Callable[[str], str] | None = None, kind: str = "LR"
) -> tuple[dict[str, str], list[str], list[str], list[str]]:
    """Match names: equal ones, then those that differ in Unicode's form only, then without the usual additions.

    Args:
        hr: names relative to their folder.
        lr: the same.
        scale: upsampling factor.
        stem: returns a name without its extension; by default `without_extension`.
        kind: what `lr` is, for messages.

    Returns:
        The LR name by HR name; what is ambiguous, in words; the HR and the LR names that are left.
    """
    stem = stem or without_extension
    keys = (stem, lambda name: composed(stem(name)), lambda name: bare_name(composed(stem(name)), scale))
    hr_left, lr_left = dict.fromkeys(hr), dict.fromkeys(lr)
    pairs: dict[str, str] = {}
    problems: list[str] = []
    for key in keys:  # each pass sees only what those before left over
        hr_by_key, lr_by_key = _grouped(hr_left, key), _grouped(lr_left, key)
        for common, hr_names in hr_by_key.items():
            lr_names = lr_by_key.get(common, [])
            if not lr_names:
                continue
            if len(hr_names) > 1 or len(lr_names) > 1:
                problems.append(f"HR {', '.join(hr_names)} could each belong to {kind} {', '.join(lr_names)}")
            else:
                pairs[hr_names[0]] = lr_names[0]
            for name in hr_names:
                del hr_left[name]
            for name in lr_names:
                del lr_left[name]
    return pairs, problems, list(hr_left), list(lr_left)


def _checked_sizes(folders: tuple[FileFolder, FileFolder], pairs: list[tuple[Path, Path]], scale: int) -> list[Size]:
    """Return the sizes of the parts of HR images that LR covers, or the error where a file of a pair is unreadable."""
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
    """Return the subfolder for the scale, `X4` or `x4`, if there is one, else the folder itself."""
    return next((root / name for name in (f"X{scale}", f"x{scale}") if is_folder(root / name)), root)


def without_extension(name: str) -> str:
    """Return a relative name without its extension."""
    return Path(name).with_suffix("").as_posix()


def bare_name(stem: str, scale: int) -> str:
    """Return a name without the additions by which datasets distinguish LR from HR."""
    folder, slash, stem = stem.rpartition("/")
    stem = re.sub(r"^(lr|hr|gt|lq)_", "", stem, flags=re.IGNORECASE)
    suffix = rf"(_SRF_{scale})?(_(LR|HR|LQ|GT|LRBI|LRBD|bicubic))?(_?x{scale}m?)?"
    stem = re.sub(rf"(?<=.){suffix}$", "", stem, flags=re.IGNORECASE)
    return folder + slash + stem


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups
