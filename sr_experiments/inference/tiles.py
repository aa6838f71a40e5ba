"""Cut an image into overlapping tiles of one size, so that a network needs memory for a tile only.

A tile's core is what is kept of its output; around it lies an overlap, `margin` LR pixels wide, that the network
sees but whose output is dropped. Where the margin covers the network's receptive field, the cores put together are
the untiled output. Tiles at the image's border end there, so that the network sees the border as it would untiled.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

ALIGNMENT = 16  # tiles begin at multiples of this, for networks that work in blocks
MARGIN = 32  # LR pixels, where the receptive field is larger than LARGEST_FIELD or without bound
LARGEST_FIELD = 64


@dataclass(frozen=True)
class Tile:
    """Where a tile lies, in LR pixels: all of it, and its core."""

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
        """Rows and columns of the image that the network sees."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def core(self, scale: int) -> tuple[slice, slice]:
        """Rows and columns of the core in the whole output."""
        return (
            slice(self.core_top * scale, self.core_bottom * scale),
            slice(self.core_left * scale, self.core_right * scale),
        )

    def core_within(self, scale: int) -> tuple[slice, slice]:
        """Rows and columns of the core in this tile's output."""
        rows, columns = self.core(scale)
        top, left = self.top * scale, self.left * scale
        return slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)


def plan(height: int, width: int, size: int, margin: int) -> list[Tile]:
    """Tiles of `size` x `size` (or the image's side, where that is smaller) whose cores make up the image.

    Args:
        height: of the image, in LR pixels.
        width: likewise.
        size: side of a tile with its margins; more than 2 * margin + ALIGNMENT.
        margin: width of the overlap that is dropped on each side.
    """
    rows, columns = _spans(height, size, margin), _spans(width, size, margin)
    return [Tile(r[0], c[0], r[1], c[1], r[2], c[2], r[3], c[3]) for r in rows for c in columns]


def strips(height: int, width: int, rows: int, margin: int) -> list[Tile]:
    """Strips of the image's width whose cores, of about `rows` rows, make up the image; arguments as of `plan`."""
    rows = -(-height // -(-height // rows))
    tops = range(0, height, rows)
    ends = [min(top + rows, height) for top in tops]
    return [
        Tile(max(top - margin, 0), 0, min(end + margin, height), width, top, 0, end, width)
        for top, end in zip(tops, ends, strict=True)
    ]


def _spans(length: int, size: int, margin: int) -> list[tuple[int, int, int, int]]:
    """Start and end of each tile, and of its core, along one side."""
    if length <= size:
        return [(0, length, 0, length)]
    spans, core = [], 0
    while core < length:
        start = max(core - margin, 0) // ALIGNMENT * ALIGNMENT
        last = start + size >= length
        start = max(length - size, 0) // ALIGNMENT * ALIGNMENT if last else start
        end = length if last else start + size
        core_end = length if last else end - margin
        spans.append((start, end, core, core_end))
        core = core_end
    return spans


class TiledNetwork(nn.Module):
    """A network that is run tile by tile on tensors of its device.

    Args:
        network: (N, C, H, W), or several of one height and width, to (N, C', scale * H, scale * W); any callable.
        scale: upsampling factor.
        tiles: gives the tiles of an input's height and width.
    """

    def __init__(self, network: Callable[..., Tensor], scale: int, tiles: Callable[[int, int], list[Tile]]) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.tiles = tiles

    def forward(self, *inputs: Tensor) -> Tensor:
        """(N, C, H, W) each to (N, C', scale * H, scale * W)."""
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


@torch.inference_mode()
def receptive_radius(run: Callable[[Tensor], Tensor], channels: int, scale: int) -> int | None:
    """How far, in LR pixels, an output pixel looks; None if that is more than LARGEST_FIELD or without bound.

    Found by trying: a pixel that is not a number spoils exactly what depends on it.

    Args:
        run: LR (1, C, H, W) to SR, on the CPU.
        channels: C.
        scale: upsampling factor.
    """
    probe = torch.full((1, channels, ALIGNMENT, 2 * LARGEST_FIELD + 3 * ALIGNMENT), 0.5)
    centre = LARGEST_FIELD + ALIGNMENT
    probe[..., centre] = torch.nan
    spoiled = run(probe).isnan().any(1).any(1)[0].nonzero()  # columns
    if not len(spoiled):
        return None
    first, last = int(spoiled.min()) // scale, int(spoiled.max()) // scale
    radius = max(centre - first, last - centre)
    return radius if radius <= LARGEST_FIELD else None


@torch.inference_mode()
def peak_bytes(run: Callable[[Tensor], Tensor], image: Tensor) -> int:
    """The most memory that `run(image)` holds at one time for tensors of its own, in bytes."""
    with _LiveBytes() as live:
        run(image)
    return live.peak


class _LiveBytes(TorchFunctionMode):
    """Counts the bytes of the storages that are made, as long as they live."""

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
