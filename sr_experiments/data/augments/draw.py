"""What augmentations draw, on the CPU: other clips of the batch, and boxes that LR and HR share."""

from dataclasses import dataclass

import torch
from torch import Tensor

SPREAD = 0.01  # standard deviation of the share of the sides that a box has (Yoo et al.'s code)


@dataclass(frozen=True)
class Box:
    """A part of LR; that of HR is `scale` times it."""

    top: int
    left: int
    height: int
    width: int

    def of(self, images: Tensor, scale: int = 1) -> Tensor:
        """Return the part of images (..., H, W), as a view."""
        rows = slice(scale * self.top, scale * (self.top + self.height))
        return images[..., rows, scale * self.left : scale * (self.left + self.width)]


def others(clips: Tensor, rng: torch.Generator) -> Tensor:
    """Draw an order of the clips (N, ...); return their indices, on their device."""
    return torch.randperm(len(clips), generator=rng).to(clips.device)


def uniform(low: float, high: float, rng: torch.Generator) -> float:
    """Draw a number between two limits."""
    return low + (high - low) * float(torch.rand((), generator=rng, dtype=torch.float64))


def share_of_sides(mean: float, rng: torch.Generator) -> float:
    """Draw the share of the sides that a box has, near a mean, in [0, 1]."""
    return min(max(mean + SPREAD * float(torch.randn((), generator=rng, dtype=torch.float64)), 0.0), 1.0)


def size(lr: Tensor, share: float) -> tuple[int, int]:
    """Return height and width of a box with this share of the sides of LR (..., H, W), at least one pixel."""
    height, width = (max(1, int(side * share)) for side in lr.shape[-2:])
    return height, width


def place(lr: Tensor, height: int, width: int, rng: torch.Generator) -> Box:
    """Draw where a box of this size lies in LR."""
    top, left = (
        int(torch.randint(side - own + 1, (), generator=rng))
        for side, own in zip(lr.shape[-2:], (height, width), strict=True)
    )
    return Box(top, left, height, width)


def scale_of(lr: Tensor, hr: Tensor) -> int:
    """Return how many times LR's sides HR's are."""
    return hr.shape[-1] // lr.shape[-1]
