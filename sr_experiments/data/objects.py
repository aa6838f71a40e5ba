"""Scenes of several motions: pieces of photographs that move in front of another one, and what they hide."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sr_experiments.data.camera import camera_path, film, pixels, true_flow

RADIUS = (0.12, 0.35)  # of an object, as a share of the side of the frames
WAVES = 4  # of an object's outline, besides its mean radius
WAVINESS = 0.15  # largest share of the radius that the first wave adds; the k-th adds a k-th of it


@dataclass(frozen=True)
class Piece:
    """A piece of a photograph (C, H, W) in [0, 1] whose outline moves with it.

    Attributes:
        path: of the camera over its photograph, see `camera_path`.
        centre: of the piece in the photograph, (x, y).
        radius: mean radius in pixels of the photograph.
        waves: (WAVES, 2): cosine and sine of the outline.
    """

    photograph: Tensor
    path: np.ndarray
    centre: np.ndarray
    radius: float
    waves: np.ndarray

    def alpha(self, path: np.ndarray, size: int) -> Tensor:
        """Return how much of each pixel the piece covers, (T, 1, size, size) in [0, 1]; edges are a pixel wide."""
        positions = pixels(size) @ torch.from_numpy(path).transpose(1, 2)  # (T, size * size, 2)
        x, y = (positions - torch.from_numpy(self.centre)).unbind(-1)
        angle = torch.atan2(y, x)
        outline = torch.ones_like(angle)
        for number, (cosine, sine) in enumerate(self.waves, 1):
            outline += cosine * torch.cos(number * angle) + sine * torch.sin(number * angle)
        pixel = float(np.sqrt(np.abs(np.linalg.det(path[:, :, :2])).mean()))  # of the frame, in the photograph
        inside = (self.radius * outline - torch.hypot(x, y)) / pixel
        return (inside + 0.5).clamp(0, 1).float().unflatten(1, (1, size, size))


class Scene:
    """A photograph filmed by a moving camera, and pieces of others in front of it; the last one added is in front.

    Args:
        photograph: (C, H, W) in [0, 1].
        path: of the camera, see `camera_path`.
        size: side of the frames.
    """

    def __init__(self, photograph: Tensor, path: np.ndarray, size: int) -> None:
        self.photograph = photograph
        self.path = path
        self.size = size
        self.pieces: list[Piece] = []

    def add(self, rng: np.random.Generator, photograph: Tensor) -> None:
        """Add a piece of a photograph (C, H, W) with a motion of its own; it is in sight at the middle of the clip."""
        frames = len(self.path)
        path = camera_path(rng, frames, self.size, photograph.shape[-2:])
        place = np.append(rng.uniform(0.15, 0.85, 2) * (self.size - 1), 1.0)
        radius = rng.uniform(*RADIUS) * self.size * np.sqrt(np.abs(np.linalg.det(path[frames // 2, :, :2])))
        waves = rng.uniform(-WAVINESS, WAVINESS, (WAVES, 2)) / np.arange(1, WAVES + 1)[:, None]
        self.pieces.append(Piece(photograph, path, path[frames // 2] @ place, float(radius), waves))

    def film(self, frames: slice = slice(None)) -> Tensor:
        """Return frames of the clip, uint8 (T, C, size, size)."""
        seen = film(self.photograph, self.path[frames], self.size)
        for piece in self.pieces:
            alpha = piece.alpha(piece.path[frames], self.size)
            seen = seen + alpha * (film(piece.photograph, piece.path[frames], self.size) - seen)
        return seen.mul(255).round().clamp(0, 255).byte()

    def flow(self, frame: int) -> Tensor:
        """Return the flow (2, size, size) of a frame in pixels, that of what is in front: where it was in the last."""
        flow = true_flow(self.path, frame, self.size)
        for piece in self.pieces:
            in_front = piece.alpha(piece.path[frame : frame + 1], self.size)[0] >= 0.5
            flow = torch.where(in_front, true_flow(piece.path, frame, self.size), flow)
        return flow
