"""The inference engine: a generator on its device, in its precision, tile by tile within the free memory."""

import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.errors import SRError, first_line
from sr_experiments.generators.flow import FlowNetwork
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator, State
from sr_experiments.inference.device import (
    PRECISIONS,
    choose_device,
    choose_precision,
    device_lost,
    out_of_memory,
)
from sr_experiments.inference.fast import STRIP, Part, optimised_for_cpu
from sr_experiments.inference.int8 import Quantization
from sr_experiments.inference.memory import memory_budget
from sr_experiments.inference.runtimes import choose_runtime, compiled_by_openvino
from sr_experiments.inference.tiles import (
    ALIGNMENT,
    MARGIN,
    LiveBytes,
    Tile,
    TiledNetwork,
    TiledParts,
    plan,
    receptive_radius,
)

log = logging.getLogger(__name__)

# For smaller inputs torch chooses other algorithms of convolution, whose results differ in the last bits.
SMALLEST_TILE = 96  # LR pixels
SMALLEST_CORE = 64
# Height and width of the LR image that memory is measured with: several strips, because most of the memory of one
# strip is used again by the next.
PROBE = (4 * STRIP, 16)
UNLIMITED = 2**16  # tile size in LR pixels
WORKSPACE = 1.5  # factor on the measured peak of tensors: convolutions need memory besides their inputs and outputs

SavedState = Sequence[Tensor | None] | None  # plain tensors of a `State`, as `sr upscale` keeps it on disk


class Engine:
    """Super-resolve images and video frames, given as arrays of pixels.

    Images and frames are uint8 or uint16 arrays (H, W, C) of RGB or grey; results are of the same type,
    (scale * H, scale * W, C). An RGB network is given a grey image as three equal channels. A grey network enlarges
    the luma of a colour image; the chroma is enlarged bicubically.

    Images that don't fit into the free memory are processed in tiles, and only tiles are sent to the device. If it
    still runs out of memory, tiles get smaller, and in the end the CPU takes over; both are logged.

    Args:
        generator: the network.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: of the convolutions, see `choose_precision`.
        tile: side of a tile in LR pixels with its margins; None to choose by the free memory.
        runtime: which library runs the layers, see `choose_runtime`.
        int8: the convolutions to compute in int8, for precision "int8"; of a recurrent network, of its SR net.

    Attributes:
        generator: the given network, on the CPU.
        channels: of the network's images: 3 for RGB, 1 for grey.
        phase: where LR pixels lie on the HR grid, see `Degradation`.
        recurrent: whether the frames of a clip have to come in order, through `next_frame`.
        device: where the network runs; it, precision and runtime change if the device is lost.
        state: of a recurrent network after the previous frame.

    Raises:
        SRError: no such device, precision, runtime or tile size.
    """

    def __init__(
        self,
        generator: Generator,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        runtime: str = "auto",
        int8: Quantization | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.runtime = choose_runtime(runtime, self.device, self.precision)
        self.scale = generator.scale
        self.channels = generator.channels
        self.phase = generator.phase or "centred"
        self.recurrent = isinstance(generator, RecurrentGenerator)
        self.generator = generator.eval().requires_grad_(False)
        self.int8 = int8
        if self.precision == "int8" and not int8:
            raise SRError("nothing is known of this network in int8: make a file of it with sr quantize")
        self.state: State | None = None
        self._prepare()
        if self.device.type != "cpu":  # the CPU's copy of the weights is laid out as the device's
            self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        radius = self.generator.receptive_radius
        if radius is None:
            radius = receptive_radius(partial(_still_image, self.generator), self.channels, self.scale)
        self.margin = MARGIN if radius is None else -(-radius // 4) * 4
        # So that windows and pixel-unshuffled blocks of a tile are those of the whole image.
        self._alignment = math.lcm(ALIGNMENT, self.generator.size_multiple)
        self._smallest = max(SMALLEST_CORE, self._alignment) + 2 * self.margin
        least = max(2 * self.margin + self._alignment, SMALLEST_TILE)
        if tile is not None and tile < least:
            raise SRError(f"--tile {tile} is too small: this network needs at least {least}")
        self.tile = tile
        self._largest = UNLIMITED
        self._warned = False

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
        """Enlarge (H, W, C) of uint8 or uint16 bicubically, aligned with the network's output."""
        height, width = (self.scale * side for side in image.shape[:2])
        if self.phase == "corner":
            step = np.array([[1 / self.scale, 0, 0], [0, 1 / self.scale, 0]])
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            large = cv2.warpAffine(image, step, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        else:
            large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        return large.reshape(height, width, image.shape[2])

    def start_clip(self) -> None:
        """Reset the recurrent state: a new clip begins, or a new shot."""
        self.state = None

    def next_frame(self, frame: np.ndarray) -> np.ndarray:
        """Enlarge the next frame of a clip, (H, W, C) to (scale * H, scale * W, C), with a recurrent network."""
        if frame.shape[2] != self.channels:
            raise SRError(f"the video has {frame.shape[2]} channels a pixel, the network {self.channels}")
        while True:
            try:
                lr = self._tensor(frame)
                with self._inference():
                    assert isinstance(self._network, RecurrentGenerator)
                    sr, state = self._network.step(lr, self.state)
                    if self.runtime == "compile":  # CUDA graphs overwrite their outputs in the next call
                        state = state.map(torch.clone)
                self.state = state
                return _pixels(sr, frame.dtype)
            except Exception as error:
                self._recover(error)

    def save_state(self) -> SavedState:
        """Return a copy of the recurrent state on the CPU; None at the start of a clip."""
        return None if self.state is None else list(self.state.map(lambda tensor: tensor.cpu().clone()))

    def restore_state(self, saved: SavedState) -> None:
        """Continue from what `save_state` returned."""
        self.state = None if saved is None else State._make(saved).map(lambda tensor: tensor.to(self.device))

    def _prepare(self) -> None:
        self._network = self._optimised(self.generator)
        self._bytes_per_pixel: float | None = None

    def _optimised(self, generator: Generator) -> nn.Module:
        """Copy the generator to the device, in the fastest form for the runtime."""
        network = copy.deepcopy(generator).to(self.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(network, FlowNetwork):
            network.add_module("mse", self._optimised_part(network.mse, self.channels))
            if self.runtime == "compile":  # no CUDA graphs: a step's output is the next one's input
                network.velocity.compile()
            return network
        if not isinstance(network, RecurrentGenerator):
            return self._optimised_part(network, self.channels)
        # Only the SR net runs in tiles: the flow net needs the whole frames, and much less memory.
        srnet = self._optimised_part(network.srnet, self.channels + network.extra_channels)
        if network.handed_on == "sr":
            network.srnet = TiledNetwork(srnet, self.scale, self._tiles)
        else:
            network.srnet = self._in_two_parts(srnet)
        if network.fnet is None or "fnet" not in network.parts:  # without weights there is little to make faster
            return network
        if self.runtime == "openvino":
            precision = choose_precision("auto", self.device) if self.precision == "int8" else self.precision
            compiled = compiled_by_openvino(network.fnet, 2 * self.channels, 1, precision, network.size_multiple)
            network.fnet = compiled or network.fnet
        elif self.runtime == "compile":
            network.fnet.compile(mode="reduce-overhead")
        return network

    def _optimised_part(self, network: nn.Module, channels: int) -> nn.Module:
        if self.runtime == "openvino":
            compiled = compiled_by_openvino(network, channels, self.scale, self.precision, int8=self.int8)
            if compiled is not None:
                return compiled
            self.runtime = "torch"
        if self.device.type == "cpu":
            network = optimised_for_cpu(network, channels, self.scale)
        if self.runtime == "compile":
            network.compile(mode="reduce-overhead")
        return network

    def _in_two_parts(self, network: Any) -> TiledParts:
        """Tile the methods `extract_features` and `reconstruct` of a network whose features are handed on."""
        parts = network.extract_features, network.reconstruct
        if self.runtime == "compile":
            parts = Part(network, parts[0]), Part(network, parts[1])
            for part in parts:
                part.compile(mode="reduce-overhead")
        return TiledParts(*parts, self.scale, self._tiles)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        dtype = PRECISIONS[self.precision]
        if self.runtime == "compile":
            torch.compiler.cudagraph_mark_step_begin()  # the outputs of the previous call may be overwritten
        with torch.inference_mode(), torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            yield

    def _run(self, lr: Tensor, top: int = 0, left: int = 0) -> Tensor:
        """LR (N, C, H, W), its corner in the whole image, to SR (N, C, scale * H, scale * W), each image on its own."""
        with self._inference():
            if self.generator.sampling:
                return self._network(lr, top, left)
            return _still_image(self._network, lr)

    def _measure_bytes(self) -> float:
        """Measure the peak of memory per LR pixel."""
        self._bytes_per_pixel = 1.0  # no tiles during the measurement
        probe = torch.full((1, self.channels, *PROBE), 0.5, device=self.device)
        network, runtime = self._network, self.runtime
        if runtime == "openvino":  # its memory is not torch's to see; it takes about as much as torch does
            self.runtime = "torch"
            self._network = self._optimised(self.generator)
        with torch.compiler.set_stance("force_eager"), LiveBytes() as live:
            self._run(probe)
        self._network, self.runtime = network, runtime
        return WORKSPACE * live.peak / math.prod(PROBE)

    def _tile_size(self) -> int:
        if self.tile is not None:
            return min(self.tile, self._largest)
        if self._bytes_per_pixel is None:
            self._bytes_per_pixel = self._measure_bytes()
        pixels = memory_budget(self.device) / self._bytes_per_pixel
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
            self._upscale_tile(images[batch], outputs[batch], tile)
            if progress is not None:
                progress(number, len(jobs))
        return outputs

    def _say_that_tiles_differ(self) -> None:
        """Warn, once, where a tile's pixels depend on averages over more than the tile."""
        if self.generator.whole_image and not self._warned:
            self._warned = True
            log.warning(
                "in tiles, because the whole image doesn't fit into %s: this network averages over the whole image, so "
                "pixels differ a little from those without tiles",
                "--tile" if self.tile is not None else "memory",
            )

    def _upscale_tile(self, images: Sequence[np.ndarray], outputs: Sequence[np.ndarray], tile: Tile) -> None:
        sr = self._run(torch.cat([self._tensor(image[tile.area]) for image in images]), tile.top, tile.left)
        rows, columns = tile.core_within(self.scale)
        for pixels, output in zip(sr, outputs, strict=True):
            output[tile.core(self.scale)] = _pixels(pixels[None, :, rows, columns], output.dtype)

    def _tensor(self, image: np.ndarray) -> Tensor:
        """Convert uint8 or uint16 (H, W, C) to float (1, C, H, W) in [0, 1] on the device."""
        if image.dtype == np.uint8:
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).float()
        else:
            pixels = torch.from_numpy(image.astype(np.float32)).to(self.device)
        return (pixels / np.iinfo(image.dtype).max).permute(2, 0, 1)[None]  # (1, C, H, W), channels last in memory

    def _to_network(self, image: np.ndarray) -> np.ndarray:
        """Convert between colour and grey where the network has other channels than the image."""
        if image.shape[2] == self.channels:
            return image
        return image.repeat(3, 2) if self.channels == 3 else _luma(image)

    def _from_network(self, output: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Give the output the channels of the image."""
        if image.shape[2] == self.channels:
            return output
        if self.channels == 3:
            return _luma(output)
        large = self.bicubic(image).astype(np.float32)  # its chroma, and the network's luma
        enlarged = large + (output - _luma(large))
        return np.clip(np.rint(enlarged), 0, np.iinfo(image.dtype).max).astype(image.dtype)

    def _recover(self, error: Exception) -> None:
        """Prepare another attempt after running out of memory or losing the device; raise any other error again."""
        size = self._tile_size()
        if out_of_memory(error):
            if size > self._smallest:
                self._largest = max(size // 2 // self._alignment * self._alignment, self._smallest)
                log.warning("out of memory on %s: going on with tiles of %d", self.device, self._largest)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                return
            reason = "out of memory even with the smallest tiles"
        elif device_lost(error):
            reason = f"the device is lost ({first_line(error)})"
        else:
            raise error
        if self.device.type == "cpu":
            raise SRError(f"{reason}: close other programs, or give a smaller --tile") from error
        log.warning("%s: %s, going on on the CPU", self.device, reason)
        try:
            state = self.save_state()
        except RuntimeError:  # it was on the lost device
            state = None
        self.device, self.precision, self.runtime, self._largest = torch.device("cpu"), "fp32", "torch", UNLIMITED
        self._prepare()
        self.restore_state(state)


def _still_image(network: nn.Module, lr: Tensor) -> Tensor:
    """Run a network on images (N, C, H, W) that have no previous frame."""
    return network.step(lr, None)[0] if isinstance(network, RecurrentGenerator) else network(lr)


def _pixels(sr: Tensor, dtype: np.dtype) -> np.ndarray:
    """Convert (1, C, H, W) in [0, 1] to an array (H, W, C) of integers."""
    levels = np.iinfo(dtype).max
    scaled = sr[0].float().clamp(0, 1).mul_(levels).round_().permute(1, 2, 0)  # (H, W, C)
    return scaled.byte().cpu().numpy() if dtype == np.uint8 else scaled.cpu().numpy().astype(dtype)


def _luma(image: np.ndarray) -> np.ndarray:
    """Compute full-range BT.601 luma, (H, W, 3) to (H, W, 1) of the same type."""
    weighted = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return (weighted if image.dtype == np.float32 else np.rint(weighted).astype(image.dtype))[..., None]
