"""A camera that moves over a photograph: its path, the frames that it sees, and their true flow."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sr_experiments.errors import SRError

# Largest camera motion from one frame to the next.
PAN = 6.0  # HR pixels
ZOOM = 0.01  # share of the size
TURN = 0.6  # degrees


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
    """Sample the frames that the camera sees from a photograph (C, H, W) in [0, 1]: float32 (T, C, size, size).

    Bicubic interpolation can leave [0, 1].
    """
    height, width = photograph.shape[-2:]
    positions = pixels(size) @ torch.from_numpy(path).transpose(1, 2)  # (T, size * size, 2)
    grid = 2 * positions / torch.tensor([width - 1, height - 1]) - 1  # to [-1, 1], as grid_sample expects
    grid = grid.unflatten(1, (size, size)).float()
    return F.grid_sample(
        photograph.expand(len(path), -1, -1, -1), grid, mode="bicubic", padding_mode="border", align_corners=True
    )


def true_flow(path: np.ndarray, frame: int, size: int) -> Tensor:
    """Return the flow (2, size, size) of a frame in pixels: where to sample the previous frame."""
    linear, shift = path[frame - 1, :, :2], path[frame - 1, :, 2]
    position = pixels(size) @ torch.from_numpy(path[frame]).T  # in the photograph, (size * size, 2)
    before = (position - torch.from_numpy(shift)) @ torch.from_numpy(np.linalg.inv(linear)).T
    return (before - pixels(size)[:, :2]).T.reshape(2, size, size).float()


def pixels(size: int) -> Tensor:
    """Return the homogeneous coordinates x, y, 1 of every pixel, (size * size, 3)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3).double()
