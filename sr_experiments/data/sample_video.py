"""Photographs that scikit-image ships, filmed by a moving camera: clips with known flow, without a download."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.config.constraints import Count, InputPath, Objects
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.camera import camera_path
from sr_experiments.data.image_files import list_images, read_image
from sr_experiments.data.images import as_tensor
from sr_experiments.data.objects import Scene
from sr_experiments.data.sample import TRAINING, VALIDATION, sample_paths
from sr_experiments.data.training_crops import TrainingSet
from sr_experiments.errors import SRError


@TRAINING_SETS.register("sample_video")
class SampleVideo(TrainingSet):
    """Training clips: `dataset[n, frames]` is a pure function of n, the number of frames and the seed.

    Each sample films one of the photographs along a random path: a pan with zoom and rotation at smoothly changing
    speed. An item is `{"hr": uint8 (T, C, crop, crop), "skipped": -1}`. The photographs are kept in memory.

    Args:
        root: folder of photographs, searched recursively; null for nine that ship with scikit-image.
        objects: maximum number of pieces of other photographs that move in front, each on its own path; the number is
            drawn for each sample.

    Raises:
        SRError: no photographs, one that can't be read, or one too small for the camera to move.
    """

    clips: ClassVar[bool] = True
    in_memory: ClassVar[bool] = True

    def __init__(
        self,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        root: InputPath | None = None,
        objects: Objects = 0,
    ) -> None:
        super().__init__(sample_paths(TRAINING) if root is None else list_images(root), crop, scale, seed)
        self.objects = objects
        self.photographs = [as_tensor(read_image(path, channels)) for path in self.paths]
        sides = [min(photograph.shape[-2:]) for photograph in self.photographs]
        if crop > min(sides) // 2:
            smallest = self.paths[sides.index(min(sides))]
            raise SRError(
                f"data.crop={crop} leaves the camera no room in {smallest.name}: use {min(sides) // 2} or less"
            )

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        n, frames = key
        rng = np.random.default_rng((self.seed, n))
        index = int(rng.integers(len(self.photographs)))
        self.origin, photograph = str(self.paths[index]), self.photographs[index]
        scene = Scene(photograph.float() / 255, camera_path(rng, frames, self.crop, photograph.shape[-2:]), self.crop)
        if self.objects:
            for _ in range(int(rng.integers(self.objects + 1))):
                scene.add(rng, self.photographs[int(rng.integers(len(self.photographs)))].float() / 255)
        return {"hr": scene.film(), "skipped": torch.tensor(-1)}


@VALIDATION_SETS.register("sample_video")
class SampleVideoValidation(Dataset[dict[str, Any]]):
    """Clips of four photographs that are not used for training, frame by frame, with their true flow.

    An item is one frame: `{"hr": uint8 (C, H, W), "flow": float32 (2, H, W), "name": str, "clip": str,
    "frame": int}`; the flow is in HR pixels, 0 for the first frame of a clip.

    Args:
        size: side of the frames, rounded down to a multiple of the scale.
        frames: number of frames per clip.
        limit: use only the first clips, up to this many.
        objects: number of pieces of the other photographs that move in front of each.

    Attributes:
        ranges: the item numbers of each clip.
    """

    clips: ClassVar[bool] = True
    in_memory: ClassVar[bool] = True
    true_flow: ClassVar[bool] = True

    def __init__(
        self,
        scale: int,
        channels: int = 3,
        size: Count = 192,
        frames: Count = 12,
        limit: Count | None = None,
        objects: Objects = 0,
    ) -> None:
        if size < scale:
            raise SRError(f"data.val.*.size={size} is less than one LR pixel at scale={scale}: raise it")
        self.size = size // scale * scale
        self.frames = frames
        paths = sample_paths(VALIDATION)[:limit]
        self.names = [path.stem for path in paths]
        photographs = [as_tensor(read_image(path, channels)).float() / 255 for path in paths]
        self.scenes = []
        for i, photograph in enumerate(photographs):
            # A fixed seed, so that validation clips are the same in every run.
            rng = np.random.default_rng((7, i))
            path = camera_path(rng, frames, self.size, photograph.shape[-2:], anywhere=False)
            scene = Scene(photograph, path, self.size)
            for number in range(objects):
                scene.add(rng, photographs[(i + number + 1) % len(photographs)])
            self.scenes.append(scene)
        self.ranges = [range(i * frames, (i + 1) * frames) for i in range(len(paths))]

    def __len__(self) -> int:
        return len(self.names) * self.frames

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip, frame = divmod(index, self.frames)
        scene = self.scenes[clip]
        return {
            "hr": scene.film(slice(frame, frame + 1))[0],
            "flow": scene.flow(frame) if frame else torch.zeros(2, self.size, self.size),
            "name": f"{self.names[clip]}_{frame:04d}",
            "clip": self.names[clip],
            "frame": frame,
        }
