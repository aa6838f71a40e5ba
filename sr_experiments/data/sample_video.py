"""Photographs that scikit-image ships, filmed by a moving camera: clips with known flow, without a download."""

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.config.constraints import Count, InputPath
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.image_files import list_images, read_image
from sr_experiments.data.images import as_tensor
from sr_experiments.data.sample import TRAINING, VALIDATION, sample_paths
from sr_experiments.data.training_crops import TrainingSet
from sr_experiments.errors import SRError

# Largest camera motion from one frame to the next.
PAN = 6.0  # HR pixels
ZOOM = 0.01  # share of the size
TURN = 0.6  # degrees


@TRAINING_SETS.register("sample_video")
class SampleVideo(TrainingSet):
    """Training clips: `dataset[n, frames]` is a pure function of n, the number of frames and the seed.

    Each sample films one of the photographs along a random path: a pan with zoom and rotation at smoothly changing
    speed. An item is `{"hr": uint8 (T, C, crop, crop), "skipped": -1}`. The photographs are kept in memory.

    Args:
        root: folder of photographs, searched recursively; null for nine that scikit-image ships.

    Raises:
        SRError: no photographs, one that can't be read, or one too small for the camera to move.
    """

    clips: ClassVar[bool] = True
    in_memory: ClassVar[bool] = True

    def __init__(self, crop: int, scale: int, channels: int = 3, seed: int = 0, root: InputPath | None = None) -> None:
        super().__init__(sample_paths(TRAINING) if root is None else list_images(root), crop, scale, seed)
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
        path = camera_path(rng, frames, self.crop, photograph.shape[-2:])
        return {"hr": film(photograph.float() / 255, path, self.crop), "skipped": torch.tensor(-1)}


@VALIDATION_SETS.register("sample_video")
class SampleVideoValidation(Dataset[dict[str, Any]]):
    """Clips of four photographs that are not trained on, frame by frame, with their true flow.

    An item is one frame: `{"hr": uint8 (C, H, W), "flow": float32 (2, H, W), "name": str, "clip": str,
    "frame": int}`; the flow is in HR pixels, 0 for the first frame of a clip.

    Args:
        size: side of the frames, rounded down to a multiple of the scale.
        frames: number of frames per clip.
        limit: use only this many clips, from the first.

    Attributes:
        ranges: the item numbers of each clip.
    """

    clips: ClassVar[bool] = True
    in_memory: ClassVar[bool] = True
    true_flow: ClassVar[bool] = True

    def __init__(
        self, scale: int, channels: int = 3, size: Count = 192, frames: Count = 12, limit: Count | None = None
    ) -> None:
        if size < scale:
            raise SRError(f"data.val.*.size={size} is less than one LR pixel at scale={scale}: raise it")
        self.size = size // scale * scale
        self.frames = frames
        paths = sample_paths(VALIDATION)[:limit]
        self.names = [path.stem for path in paths]
        self.photographs = [as_tensor(read_image(path, channels)).float() / 255 for path in paths]
        self.camera_paths = [
            # A fixed seed, so that validation clips are the same in every run.
            camera_path(np.random.default_rng((7, i)), frames, self.size, photograph.shape[-2:], anywhere=False)
            for i, photograph in enumerate(self.photographs)
        ]
        self.ranges = [range(i * frames, (i + 1) * frames) for i in range(len(paths))]

    def __len__(self) -> int:
        return len(self.names) * self.frames

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip, frame = divmod(index, self.frames)
        path = self.camera_paths[clip]
        flow = true_flow(path, frame, self.size) if frame else torch.zeros(2, self.size, self.size)
        return {
            "hr": film(self.photographs[clip], path[frame : frame + 1], self.size)[0],
            "flow": flow,
            "name": f"{self.names[clip]}_{frame:04d}",
            "clip": self.names[clip],
            "frame": frame,
        }


def camera_path(
    rng: np.random.Generator, frames: int, size: int, room: tuple[int, int] | torch.Size, anywhere: bool = True
) -> np.ndarray:
    """Draw a smooth path of a camera, with frames of side `size`, over a photograph of (height, width) `room`.

    It starts `anywhere`, rotated by a multiple of 90 degrees and mirrored at random, or else passes over the centre.

    Returns:
        (frames, 2, 3): matrices that map frame coordinates (x, y, 1), with pixel centres at whole numbers, to
        coordinates (x, y) in the photograph.
    """
    t = np.arange(frames) - (frames - 1) / 2
    pan, zoom, turn = rng.uniform(-1, 1, 2), rng.uniform(-1, 1), rng.uniform(-1, 1)
    pan *= rng.uniform() * PAN / np.linalg.norm(pan)
    # The speed oscillates between zero and twice its mean: the derivative of this is 1 + cos(0.5 t + swing).
    swing = rng.uniform(0, 2 * np.pi)
    progress = t + 2.0 * (np.sin(0.5 * t + swing) - np.sin(swing))
    size_factor = rng.uniform(0.75, 0.95) * (1 + ZOOM * zoom) ** progress
    angle = np.deg2rad(TURN * turn) * progress
    right_angles, mirror = (int(rng.integers(4)), rng.choice((-1.0, 1.0))) if anywhere else (0, 1.0)
    angle = angle + right_angles * np.pi / 2
    cosine, sine = size_factor * np.cos(angle), size_factor * np.sin(angle)
    linear = np.stack((np.stack((cosine * mirror, -sine), -1), np.stack((sine * mirror, cosine), -1)), -2)
    half = (size - 1) / 2
    corners = linear @ (half * np.array([(-1, -1, 1, 1), (-1, 1, -1, 1)]))  # (frames, 2, 4), around the centre
    extent = np.array([room[1], room[0]]) - 1.0
    free = extent - (corners.max((0, 2)) - corners.min((0, 2)))
    if (free < 0).any():
        raise SRError(f"frames of {size}x{size} leave the camera no room in the sample photos: use a smaller size")
    offsets = progress[:, None] * pan
    # Shorten the pan where the photograph is too small for it.
    offsets *= min(1.0, float((free / np.maximum(np.ptp(offsets, axis=0), 1e-9)).min()))
    reach = corners + offsets[:, :, None]
    low, high = reach.min((0, 2)), reach.max((0, 2))
    start = rng.uniform(size=2) if anywhere else 0.5
    centre = offsets - low + start * (extent - (high - low))
    return np.concatenate((linear, (centre - linear @ np.array([half, half]))[:, :, None]), 2)


def film(photograph: Tensor, path: np.ndarray, size: int) -> Tensor:
    """Sample the frames that the camera sees from a photograph (C, H, W) in [0, 1]: uint8 (T, C, size, size)."""
    height, width = photograph.shape[-2:]
    positions = _pixels(size) @ torch.from_numpy(path).transpose(1, 2)  # (T, size * size, 2)
    grid = 2 * positions / torch.tensor([width - 1, height - 1]) - 1  # to [-1, 1], as grid_sample expects
    grid = grid.unflatten(1, (size, size)).float()
    frames = F.grid_sample(
        photograph.expand(len(path), -1, -1, -1), grid, mode="bicubic", padding_mode="border", align_corners=True
    )
    return frames.mul(255).round().clamp(0, 255).byte()


def true_flow(path: np.ndarray, frame: int, size: int) -> Tensor:
    """Return the flow (2, size, size) of a frame in pixels: where to sample the previous frame."""
    linear, shift = path[frame - 1, :, :2], path[frame - 1, :, 2]
    position = _pixels(size) @ torch.from_numpy(path[frame]).T  # in the photograph, (size * size, 2)
    before = (position - torch.from_numpy(shift)) @ torch.from_numpy(np.linalg.inv(linear)).T
    return (before - _pixels(size)[:, :2]).T.reshape(2, size, size).float()


def _pixels(size: int) -> Tensor:
    """Return the homogeneous coordinates x, y, 1 of every pixel, (size * size, 3)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3).double()
