"""Datasets of a folder of HR images; LR is made from them on the device."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.config.constraints import Count, InputPath, OnError
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.depth import LEVELS, WORDS, Bits
from sr_experiments.data.held_out import ValShare
from sr_experiments.data.image_files import Size, UnreadableImage, image_header, result_or_error, say_pages
from sr_experiments.data.packs.folders import FileFolder, open_folder
from sr_experiments.data.training_crops import TrainingCrops
from sr_experiments.errors import SRError

log = logging.getLogger(__name__)


@TRAINING_SETS.register("images")
class ImageFolder(TrainingCrops):
    """Training crops of all images in a folder and its subfolders.

    Args:
        root: the folder, or a pack of it.

    Raises:
        SRError: no images, images smaller than the crop, or unreadable images with on_error="stop".
    """

    def __init__(
        self,
        root: InputPath,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        on_error: OnError = "stop",
        augment: bool = True,
        cache: str | None = None,
        bits: Bits = 8,
    ) -> None:
        self.folder = open_folder(root, cache, on_error, bits=bits, channels=channels)
        super().__init__(self.folder.images(), crop, scale, seed, on_error, augment)
        self.channels = channels
        self.bits = bits
        check_first(self.folder, self.paths[0], channels, bits)
        self.check_sizes(self.folder.sizes(self.paths))

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read an image."""
        return {"hr": self.folder.read(self.paths[index], self.channels, self.bits)}

    def split_off(self, share: ValShare) -> tuple["ImageValidation | None", str]:
        """Take a share of the images out of training, for validation; see `TrainingCrops.choose_held_out`."""
        chosen, words = self.choose_held_out(share, self.folder.root)
        if not chosen:
            return None, words
        paths = [self.paths[index] for index in chosen]
        self.paths = [path for index, path in enumerate(self.paths) if index not in set(chosen)]
        return ImageValidation.of(self.folder, paths, self.scale, self.channels, self.bits), words


@VALIDATION_SETS.register("images")
class ImageValidation(Dataset[dict[str, Any]]):
    """Whole images of a folder for validation, in natural order.

    An item is `{"hr": (C, H, W) of the depth, "name": str}`, cropped at the bottom and right to multiples of the scale.

    Args:
        root: the folder, or a pack of it.
        limit: use only the first images, up to this many.

    Raises:
        SRError: no images; when an item is read, an image smaller than one LR pixel.
    """

    def __init__(
        self,
        root: InputPath,
        scale: int,
        channels: int = 3,
        limit: Count | None = None,
        cache: str | None = None,
        bits: Bits = 8,
    ) -> None:
        self.root = Path(root).expanduser()
        self.folder = open_folder(root, cache, bits=bits, channels=channels)
        self.paths = self.folder.images()[:limit]
        self.scale = scale
        self.channels = channels
        self.bits = bits

    @classmethod
    def of(cls, folder: FileFolder, paths: Sequence[Path], scale: int, channels: int, bits: Bits) -> "ImageValidation":
        """Return the dataset of these images of a folder."""
        images = cls.__new__(cls)
        images.root, images.folder, images.paths = folder.root, folder, list(paths)
        images.scale, images.channels, images.bits = scale, channels, bits
        return images

    def hr_sizes(self) -> dict[Path, Size]:
        """Return (height, width) of the HR images by path, or errors in their place, from their headers alone."""
        return dict(zip(self.paths, self.folder.sizes(self.paths), strict=True))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.paths[index]
        hr = crop_to_multiple(self.folder.read(path, self.channels, self.bits), self.scale, path)
        return {"hr": as_tensor(hr), "name": image_name(path, self.root)}


def check_first(folder: FileFolder, path: Path, channels: int, bits: Bits) -> None:
    """Log, for the first image of a folder, that its depth is not the one that is asked for, or that it has pages.

    Raises:
        SRError: it has another number of bands.
    """
    layout = result_or_error(folder.layout, path)
    if isinstance(layout, UnreadableImage):
        return
    own, bands = layout
    if bands not in (1, 3, channels):
        raise SRError(f"{path} has {bands} bands, and channels={channels}: set channels={bands}, or convert the images")
    if channels in (1, 3) and type(folder) is FileFolder:
        say_pages({path: image_header(path).pages}, "set channels=")
    if own == bits:
        return
    if bits == 8:
        log.info("%s is %s, and read as 8-bit: data.bits=%s keeps its full depth", path, WORDS[own], own)
    elif own == 8 or bits == 16:
        log.warning("%s is %s, and data.bits=%s: its values are converted, white stays white", path, WORDS[own], bits)


def as_floats(pixels: Tensor) -> Tensor:
    """Convert pixels of any depth to float32 in [0, 1]."""
    white = {torch.uint8: LEVELS[8], torch.uint16: LEVELS[16]}.get(pixels.dtype)
    return pixels.float() if white is None else pixels.float() / white


def crop_to_multiple(image: np.ndarray, scale: int, name: object) -> np.ndarray:
    """Crop (H, W, C) at the bottom and right to multiples of the scale.

    Raises:
        SRError: nothing would be left; `name` is in the message.
    """
    height, width = image.shape[:2]
    if min(height, width) < scale:
        raise SRError(f"{name} is {width}x{height}, less than one LR pixel at scale={scale}: give larger ones")
    return image[: height // scale * scale, : width // scale * scale]


def as_tensor(image: np.ndarray) -> Tensor:
    """Copy an array (H, W, C) to a tensor (C, H, W)."""
    # np.asarray reads what is still a view of a pack; np.array copies, so that the result is contiguous and writable.
    return torch.from_numpy(np.array(np.asarray(image).transpose(2, 0, 1), order="C"))


def image_name(path: Path, root: Path) -> str:
    """Return a name of an image within its set that can be used as a file name: `000_0001` for `000/0001.png`."""
    return "_".join(path.relative_to(root).with_suffix("").parts)
