"""Cut an image into overlapping tiles of one size, so that a network needs memory for a tile only.

The core of a tile is the part of its output that is kept; around it lies an overlap of `margin` LR pixels that is
input of the network but cropped from its output. Where the margin covers the network's receptive field, the cores
together are equal to the untiled output. Tiles end at the image's border, where the network pads as it does untiled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

ALIGNMENT = 16  # tiles begin at multiples of this, as pixel-unshuffled blocks do in the whole image
MARGIN = 32  # LR pixels, where the receptive radius is unbounded or larger than can be measured
STRIP = 40  # rows of LR pixels that are enlarged at a time on a CPU

Array = TypeVar("Array", bound=Any)  # torch's tensors or NumPy's arrays


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


def run_in_tiles(
    network: Callable[..., Array],
    inputs: Sequence[Array],
    scale: int,
    tiles: Sequence[Tile],
    empty: Callable[[Array, tuple[int, ...]], Array],
) -> Array:
    """Run a network tile by tile.

    Args:
        network: maps one or several (N, C, H, W) of one height and width to (N, C', scale * H, scale * W).
        inputs: the whole of each.
        scale: upsampling factor.
        tiles: cover the inputs.
        empty: makes an array of the kind of another, of a shape.

    Returns:
        The whole output.
    """
    if len(tiles) == 1:
        return network(*inputs)
    height, width = inputs[0].shape[-2:]
    whole: Array | None = None
    for tile in tiles:
        rows, columns = tile.area
        part = network(*(x[..., rows, columns] for x in inputs))
        if whole is None:
            whole = empty(part, (*part.shape[:2], scale * height, scale * width))
        rows, columns = tile.core(scale)
        inner_rows, inner_columns = tile.core_within(scale)
        whole[..., rows, columns] = part[..., inner_rows, inner_columns]
    assert whole is not None
    return whole
