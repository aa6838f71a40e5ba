"""A batch of images of different sizes in one tensor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Canvas:
    """Images of different sizes in the top left corners of one tensor; values outside an image are undefined.

    A step that reads neighbouring pixels first extends each image with its own pixels (`mirrored`, `repeated`), so
    that undefined values never leak in. Sizes are kept on the CPU, so that branching on them does not wait for the
    device.
    """

    pixels: Tensor  # (N, C, H, W)
    heights: Tensor  # (N,) of each image, at most H
    widths: Tensor  # (N,) at most W
    lr_size: tuple[int, int]  # (height, width) of the images after the last step
    frames: int = 1  # per clip; images i * frames to (i + 1) * frames - 1 are clip i

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def per_image(self) -> bool:
        """Whether steps process one image at a time (faster on a CPU) or the whole tensor (faster on a GPU)."""
        return self.pixels.device.type == "cpu"

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each image."""
        return list(zip(self.heights.tolist(), self.widths.tolist(), strict=True))

    def with_pixels(self, pixels: Tensor) -> "Canvas":
        """Return a canvas of the same sizes with other pixels."""
        return replace(self, pixels=pixels)

    def take(self, images: Tensor) -> "Canvas":
        """Return the images of these indices (a tensor on the CPU), on the smallest canvas that holds them."""
        heights, widths = self.heights[images], self.widths[images]
        pixels = self.pixels[images.to(self.pixels.device), :, : int(heights.max()), : int(widths.max())]
        return replace(self, pixels=pixels, heights=heights, widths=widths)

    def inside(self) -> Tensor:
        """Return a mask (N, 1, H, W) that is true on pixels that belong to an image."""
        height, width = self.pixels.shape[-2:]
        rows = torch.arange(height) < self.heights[:, None]
        columns = torch.arange(width) < self.widths[:, None]
        return (rows[:, None, :, None] & columns[:, None, None, :]).to(self.pixels.device)

    def mirrored(self, margin: int) -> Tensor:
        """Return (N, C, H + 2 * margin, W + 2 * margin): images reflected about the centres of their border pixels."""
        height, width = self.pixels.shape[-2:]
        same_size = bool((self.heights == height).all() and (self.widths == width).all())
        if same_size and margin < min(height, width):  # F.pad reflects once only; small images need several reflections
            return F.pad(self.pixels, (margin, margin, margin, margin), mode="reflect")
        rows, columns = (
            mirror(torch.arange(-margin, length + margin), sizes)
            for length, sizes in zip(self.pixels.shape[-2:], (self.heights, self.widths), strict=True)
        )
        return self._gather(rows, columns)

    def repeated(self, multiple: int) -> Tensor:
        """Return (N, C, H', W'), H' and W' rounded up to a multiple: images extended by repeating border pixels."""
        rows, columns = (
            torch.minimum(torch.arange(-(-length // multiple) * multiple), sizes[:, None] - 1)
            for length, sizes in zip(self.pixels.shape[-2:], (self.heights, self.widths), strict=True)
        )
        return self._gather(rows, columns)

    def _gather(self, rows: Tensor, columns: Tensor) -> Tensor:
        pixels, device = self.pixels, self.pixels.device
        channels, width = pixels.shape[1], pixels.shape[3]
        rows = rows.to(device)[:, None, :, None].expand(-1, channels, -1, width)
        pixels = pixels.gather(2, rows)
        columns = columns.to(device)[:, None, None, :].expand(-1, channels, pixels.shape[2], -1)
        return pixels.gather(3, columns)


def mirror(positions: Tensor, sizes: Tensor) -> Tensor:
    """Return indices (N, L) of positions (L,) reflected, repeatedly if needed, into images of sizes (N,)."""
    period = (2 * (sizes - 1)).clamp(min=1)[:, None]
    folded = positions % period
    return torch.where(folded < sizes[:, None], folded, period - folded)


def join(parts: Sequence[tuple[Tensor, Canvas]]) -> Canvas:
    """Join disjoint parts of a batch into one canvas; each part comes with the indices of its images (on the CPU)."""
    if len(parts) == 1:
        order = parts[0][0].argsort()
        return parts[0][1].take(order)
    first = parts[0][1]
    indices = torch.cat([images for images, _ in parts])
    height, width = (max(part.pixels.shape[d] for _, part in parts) for d in (2, 3))
    pixels = first.pixels.new_zeros(len(indices), first.pixels.shape[1], height, width)
    for images, part in parts:
        pixels[images.to(pixels.device), :, : part.pixels.shape[2], : part.pixels.shape[3]] = part.pixels
    order = indices.argsort()
    heights, widths = (torch.cat([getattr(part, name) for _, part in parts])[order] for name in ("heights", "widths"))
    return replace(first, pixels=pixels, heights=heights, widths=widths)
