"""What all inference engines have in common: images as arrays of pixels, tile by tile within the free memory."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sr_experiments.data.depth import Bits
from sr_experiments.errors import SRError
from sr_experiments.inference.memory import budget_on_host
from sr_experiments.inference.tiles import ALIGNMENT, STRIP, Tile, plan

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# For smaller inputs torch chooses other algorithms of convolution, whose results differ in the last bits.
SMALLEST_TILE = 96  # LR pixels
SMALLEST_CORE = 64
# Height and width of the LR image that memory is measured with: several strips, because most of the memory of one
# strip is used again by the next.
PROBE = (4 * STRIP, 16)
UNLIMITED = 2**16  # tile size in LR pixels


@dataclass(frozen=True)
class Traits:
    """What an engine has to know of a network.

    Attributes:
        scale: upsampling factor.
        channels: of its images: 3 for RGB, 1 for grey, others for bands.
        phase: where LR pixels lie on the HR grid, see `Degradation`.
        margin: of tiles, in LR pixels.
        size_multiple: tiles begin at multiples of it, see `Generator`.
        whole_image: each pixel depends on averages over the whole image, see `Generator`.
        sampling: how it draws its pictures, see `Generator`; empty if it doesn't.
        bits: depth of the images that it was trained on.
    """

    scale: int
    channels: int
    phase: str
    margin: int
    size_multiple: int = 1
    whole_image: bool = False
    sampling: Mapping[str, float] | None = None
    bits: Bits = 8


class ImageEngine:
    """Super-resolve images, given as arrays of pixels; a subclass runs the network.

    Images are arrays (H, W, C) of uint8, uint16 or, in [0, 1], float32; results are of the same type,
    (scale * H, scale * W, C); floating-point ones are not clipped. They are RGB or grey, or have as many bands as the
    network. An RGB network is given a grey image as three equal channels. A grey network enlarges the luma of a colour
    image; the chroma is enlarged bicubically.

    Images that don't fit into the free memory are processed in tiles. If memory still runs out, tiles get smaller,
    which is logged.

    Args:
        traits: of the network.
        tile: side of a tile in LR pixels with its margins; None to choose by the free memory.

    Attributes:
        device, precision, runtime: where, in what and with what the network runs.
        recurrent: whether the frames of a clip have to come in order, through `next_frame`.
        lookahead: number of later frames that a frame of a clip depends on.

    Raises:
        SRError: the tile is too small.
    """

    device: "torch.device | str"
    precision: str
    runtime: str
    recurrent = False
    lookahead = 0

    def __init__(self, traits: Traits, tile: int | None = None) -> None:
        self.traits = traits
        self.scale, self.channels, self.phase, self.margin = traits.scale, traits.channels, traits.phase, traits.margin
        # So that windows and pixel-unshuffled blocks of a tile are those of the whole image.
        self._alignment = math.lcm(ALIGNMENT, traits.size_multiple)
        self._smallest = max(SMALLEST_CORE, self._alignment) + 2 * self.margin
        least = max(2 * self.margin + self._alignment, SMALLEST_TILE)
        if tile is not None and tile < least:
            raise SRError(f"--tile {tile} is too small: this network needs at least {least}")
        self.tile = tile
        self._largest = UNLIMITED
        self._warned = False

    def digest(self) -> str:
        """Return the digest of the network, see `network_digest`."""
        raise NotImplementedError

    def bytes_per_pixel(self) -> float:
        """Return the memory that the network takes for an LR pixel."""
        raise NotImplementedError

    def _enlarge(self, images: Sequence[np.ndarray], tile: Tile) -> Sequence[np.ndarray]:
        """Return the core of a tile of each image in SR, (H, W, C) of the image's type."""
        raise NotImplementedError

    @property
    def device_type(self) -> str:
        """The kind of device: cpu, cuda or mps."""
        return str(self.device).partition(":")[0]

    def upscale(self, image: np.ndarray, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Enlarge one image; after each tile, `progress` is called with the number of finished and of all tiles."""
        return self.upscale_batch([image], progress)[0]

    def upscale_batch(
        self, images: Sequence[np.ndarray], progress: Callable[[int, int], None] | None = None
    ) -> list[np.ndarray]:
        """Enlarge images of one size and type, as many in one call of the network as memory allows."""
        inputs = [self._to_network(image) for image in images]
        while True:
            try:
                outputs = self._tiled(inputs, progress)
                break
            except Exception as error:
                self._recover(error)
        return [self._from_network(output, image) for output, image in zip(outputs, images, strict=True)]

    def bicubic(self, image: np.ndarray) -> np.ndarray:
        """Enlarge (H, W, C) bicubically, aligned with the network's output."""
        height, width = (self.scale * side for side in image.shape[:2])
        if self.phase == "corner":
            step = np.array([[1 / self.scale, 0, 0], [0, 1 / self.scale, 0]])
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            parts = np.split(image, range(4, image.shape[2], 4), 2)  # OpenCV warps four channels at most
            warped = [
                cv2.warpAffine(p, step, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE) for p in parts
            ]
            large = np.concatenate([part.reshape(height, width, -1) for part in warped], 2)
        else:
            large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        return large.reshape(height, width, image.shape[2])

    def start_clip(self) -> None:
        """Begin a new clip, or a new shot: of networks for images, no frame depends on the one before."""

    def next_frame(self, frame: np.ndarray, *later: np.ndarray) -> np.ndarray:
        """Upscale the next frame of a clip, (H, W, C) to (scale * H, scale * W, C), given those after it."""
        return self.upscale(frame)

    def save_state(self) -> Any:
        """Return a copy of what the next frame depends on; None if that is nothing."""
        return None

    def restore_state(self, saved: Any) -> None:
        """Continue from what `save_state` returned."""

    def _memory_budget(self) -> int:
        return budget_on_host()

    def _tile_size(self) -> int:
        if self.tile is not None:
            return min(self.tile, self._largest)
        pixels = self._memory_budget() / self.bytes_per_pixel()
        side = int(min(pixels**0.5, pixels / PROBE[0]))
        return max(min(side, self._largest) // self._alignment * self._alignment, self._smallest)

    def _tiles(self, height: int, width: int) -> list[Tile]:
        """Cut an LR image into tiles that fit into memory; into one if all of it fits."""
        size = self._tile_size()
        if self.tile is None and max(height, PROBE[0]) * width <= size**2:
            size = max(height, width)
        # Long, narrow images: tiles of at least SMALLEST_TILE^2 pixels.
        return plan(height, width, max(size, SMALLEST_TILE**2 // min(height, width)), self.margin, self._alignment)

    def _tiled(self, images: Sequence[np.ndarray], progress: Callable[[int, int], None] | None) -> list[np.ndarray]:
        height, width, channels = images[0].shape
        tiles = [Tile(0, 0, height, width, 0, 0, height, width)] if self.recurrent else self._tiles(height, width)
        if len(tiles) > 1:
            self._say_that_tiles_differ()
        at_once = max(self._tile_size() ** 2 // (max(height, PROBE[0]) * width), 1) if len(tiles) == 1 else 1
        outputs = [np.empty((height * self.scale, width * self.scale, channels), image.dtype) for image in images]
        jobs = [(slice(i, i + at_once), tile) for i in range(0, len(images), at_once) for tile in tiles]
        for number, (batch, tile) in enumerate(jobs, 1):
            for core, output in zip(self._enlarge(images[batch], tile), outputs[batch], strict=True):
                output[tile.core(self.scale)] = core
            if progress is not None:
                progress(number, len(jobs))
        return outputs

    def _say_that_tiles_differ(self) -> None:
        """Warn, once, where a tile's pixels depend on averages over more than the tile."""
        if self.traits.whole_image and not self._warned:
            self._warned = True
            log.warning(
                "in tiles, because the whole image doesn't fit into %s: this network averages over the whole image, so "
                "pixels differ a little from those without tiles",
                "--tile" if self.tile is not None else "memory",
            )

    def _to_network(self, image: np.ndarray) -> np.ndarray:
        """Convert between colour and grey where the network has other channels than the image."""
        if image.shape[2] == self.channels:
            return image
        if {image.shape[2], self.channels} != {1, 3}:
            raise SRError(
                f"the image has {image.shape[2]} bands, and the network takes {self.channels}: give both as many"
            )
        return image.repeat(3, 2) if self.channels == 3 else _luma(image)

    def _from_network(self, output: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Give the output the channels of the image."""
        if image.shape[2] == self.channels:
            return output
        if self.channels == 3:
            return _luma(output)
        large = self.bicubic(image).astype(np.float32)  # its chroma, and the network's luma
        enlarged = large + (output - _luma(large))
        if image.dtype.kind == "f":
            return enlarged
        return np.clip(np.rint(enlarged), 0, np.iinfo(image.dtype).max).astype(image.dtype)

    def _recover(self, error: Exception) -> None:
        """Prepare another attempt, with smaller tiles, if memory ran out; raise any other error again.

        Raises:
            SRError: tiles can't be smaller.
        """
        if not self._out_of_memory(error):
            raise error
        if self._tile_size() <= self._smallest:
            raise SRError(
                "out of memory even with the smallest tiles: close other programs, or give a smaller --tile"
            ) from error
        self._largest = max(self._tile_size() // 2 // self._alignment * self._alignment, self._smallest)
        log.warning("out of memory on %s: going on with tiles of %d", self.device, self._largest)

    def _out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, MemoryError) or any(said in str(error) for said in ("allocate memory", "bad_alloc"))


def _luma(image: np.ndarray) -> np.ndarray:
    """Compute full-range BT.601 luma, (H, W, 3) to (H, W, 1) of the same type."""
    weighted = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return (weighted if image.dtype == np.float32 else np.rint(weighted).astype(image.dtype))[..., None]
