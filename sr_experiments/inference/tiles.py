"""Cut an image into overlapping tiles of one size, so that a network needs memory for a tile only.

The core of a tile is the part of its output that is kept; around it lies an overlap of `margin` LR pixels that is
input of the network but cropped from its output. Where the margin covers the network's receptive field, the cores
together are equal to the untiled output. Tiles end at the image's border, where the network pads as it does untiled.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

ALIGNMENT = 16  # tiles begin at multiples of this, as pixel-unshuffled blocks do in the whole image
MARGIN = 32  # LR pixels, where the receptive radius is unbounded or larger than LARGEST_FIELD
LARGEST_FIELD = 64  # LR pixels


@dataclass(frozen=True)
class Tile:
    """Position of a tile and of its core, in LR pixels; bottom and right are exclusive."""

    top: int
    left: int
    bottom: int
    right: int
    core_top: int
    core_left: int
    core_bottom: int
    core_right: int

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns of the input image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def core(self, scale: int) -> tuple[slice, slice]:
        """Return the rows and columns of the core in the whole output."""
        return (
            slice(self.core_top * scale, self.core_bottom * scale),
            slice(self.core_left * scale, self.core_right * scale),
        )

    def core_within(self, scale: int) -> tuple[slice, slice]:
        """Return the rows and columns of the core in this tile's output."""
        rows, columns = self.core(scale)
        top, left = self.top * scale, self.left * scale
        return slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)


def plan(height: int, width: int, size: int, margin: int, alignment: int = ALIGNMENT) -> list[Tile]:
    """Plan tiles of `size` x `size` (or the image's side, where that is smaller) whose cores cover the image.

    All are in LR pixels. The size, with a margin on each side, is 2 * margin + alignment or more; tiles begin at
    multiples of the alignment.
    """
    rows, columns = _spans(height, size, margin, alignment), _spans(width, size, margin, alignment)
    return [Tile(r[0], c[0], r[1], c[1], r[2], c[2], r[3], c[3]) for r in rows for c in columns]


def strips(height: int, width: int, rows: int, margin: int) -> list[Tile]:
    """Plan strips of the image's full width whose cores, of at most `rows` rows, cover it."""
    rows = -(-height // -(-height // rows))  # as many strips, but of equal height
    tops = range(0, height, rows)
    ends = [min(top + rows, height) for top in tops]
    return [
        Tile(max(top - margin, 0), 0, min(end + margin, height), width, top, 0, end, width)
        for top, end in zip(tops, ends, strict=True)
    ]


def _spans(length: int, size: int, margin: int, alignment: int) -> list[tuple[int, int, int, int]]:
    """Return start and end of each tile, and of its core, along one side."""
    if length <= size:
        return [(0, length, 0, length)]
    spans, core = [], 0
    while core < length:
        start = max(core - margin, 0) // alignment * alignment
        last = start + size >= length
        start = max(length - size, 0) // alignment * alignment if last else start
        end = length if last else start + size
        core_end = length if last else end - margin
        spans.append((start, end, core, core_end))
        core = core_end
    return spans


class TiledNetwork(nn.Module):
    """Runs a network tile by tile, input and output staying on its device.

    The network maps one or several (N, C, H, W) of one height and width to (N, C', scale * H, scale * W); `tiles` plans
    the tiles for an input's height and width.
    """

    def __init__(self, network: Callable[..., Tensor], scale: int, tiles: Callable[[int, int], list[Tile]]) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.tiles = tiles

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs (N, C, H, W) to (N, C', scale * H, scale * W)."""
        height, width = inputs[0].shape[-2:]
        tiles = self.tiles(height, width)
        if len(tiles) == 1:
            return self.network(*inputs)
        whole: Tensor | None = None
        for tile in tiles:
            rows, columns = tile.area
            part = self.network(*(x[..., rows, columns] for x in inputs))
            if whole is None:
                whole = part.new_empty(*part.shape[:2], self.scale * height, self.scale * width)
            rows, columns = tile.core(self.scale)
            inner_rows, inner_columns = tile.core_within(self.scale)
            whole[..., rows, columns] = part[..., inner_rows, inner_columns]
        assert whole is not None
        return whole


class TiledParts(nn.Module):
    """Runs the two parts of a network tile by tile, see `TiledNetwork`; the features between them are whole."""

    def __init__(
        self,
        extract: Callable[..., Tensor],
        reconstruct: Callable[..., Tensor],
        scale: int,
        tiles: Callable[[int, int], list[Tile]],
    ) -> None:
        super().__init__()
        self.extract_features = TiledNetwork(extract, 1, tiles)
        self.reconstruct = TiledNetwork(reconstruct, scale, tiles)


@torch.inference_mode()
def receptive_radius(run: Callable[[Tensor], Tensor], channels: int, scale: int) -> int | None:
    """Measure from what distance, in LR pixels, an output pixel depends on the input.

    A NaN in the input turns exactly those output pixels that depend on it into NaN. `run` maps LR (1, channels, H, W)
    to SR on the CPU.

    Returns:
        None if the distance is larger than LARGEST_FIELD, unbounded, or NaNs don't reach the output.
    """
    probe = torch.full((1, channels, ALIGNMENT, 2 * LARGEST_FIELD + 3 * ALIGNMENT), 0.5)
    centre = LARGEST_FIELD + ALIGNMENT
    probe[..., centre] = torch.nan
    columns = run(probe).isnan().any(1).any(1)[0].nonzero()  # those with a NaN
    if not len(columns):
        return None
    first, last = int(columns.min()) // scale, int(columns.max()) // scale
    radius = max(centre - first, last - centre)
    return radius if radius <= LARGEST_FIELD else None


class LiveBytes(TorchFunctionMode):
    """Count the bytes of the storages that operations in this context allocate, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                key = storage._cdata
                if key not in self.known and key not in given:
                    self.known[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, key)
        return result

    def _gone(self, key: int) -> None:
        self.now -= self.known.pop(key, 0)
