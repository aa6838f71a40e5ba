"""Datasets of the photographs that scikit-image ships: training data without a download."""

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import Dataset

from sr_experiments.config.constraints import Count
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.image_files import read_image
from sr_experiments.data.images import as_tensor, crop_to_multiple
from sr_experiments.data.training_crops import TrainingCrops
from sr_experiments.errors import SRError

# Only files in the wheel. The two motorcycles are a stereo pair, so both are training images: no leak into validation.
TRAINING = (
    "astronaut.png",
    "brick.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
)
VALIDATION = ("camera.png", "chelsea.png", "coffee.png", "rocket.jpg")


@TRAINING_SETS.register("sample")
class SampleImages(TrainingCrops):
    """Training crops of nine photographs, held in memory."""

    in_memory: ClassVar[bool] = True

    def __init__(self, crop: int, scale: int, channels: int = 3, seed: int = 0, augment: bool = True) -> None:
        super().__init__(sample_paths(TRAINING), crop, scale, seed, augment=augment)
        self.images = [read_image(path, channels) for path in self.paths]
        self.check_sizes([image.shape[:2] for image in self.images])

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Return an image."""
        return {"hr": self.images[index]}


@VALIDATION_SETS.register("sample")
class SampleValidation(Dataset[dict[str, Any]]):
    """Centres of four photographs that are not used for training: `{"hr": uint8 (C, H, W), "name": str}`.

    Args:
        size: side of the centre, rounded down to a multiple of the scale; small, so that validation is fast.
        limit: use only the first images, up to this many.
    """

    in_memory: ClassVar[bool] = True

    def __init__(self, scale: int, channels: int = 3, size: Count = 256, limit: Count | None = None) -> None:
        self.paths = sample_paths(VALIDATION)[:limit]
        centres = [_centre(read_image(path, channels), size) for path in self.paths]
        self.images = [crop_to_multiple(centre, scale, f"an image of data.val.*.size={size}") for centre in centres]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"hr": as_tensor(self.images[index]), "name": self.paths[index].stem}


def _centre(image: np.ndarray, size: int) -> np.ndarray:
    top, left = (max(side - size, 0) // 2 for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def sample_paths(names: tuple[str, ...]) -> list[Path]:
    """Return the paths of photographs of scikit-image.

    Raises:
        SRError: scikit-image or one of the files is missing.
    """
    spec = importlib.util.find_spec("skimage")  # finds the folder without importing the package
    if spec is None or spec.origin is None:
        raise SRError("data=sample needs scikit-image: install it with pip install scikit-image")
    paths = [Path(spec.origin).parent / "data" / name for name in names]
    for path in paths:
        if not path.is_file():
            raise SRError(f"{path} is missing: data=sample needs it; reinstall scikit-image from its wheel")
    return paths
