"""A generator made ready for use: on its device, in its precision, tile by tile within the memory there is."""

import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.errors import SRError
from sr_experiments.generators.frvsr import FRAME_MULTIPLE
from sr_experiments.inference.device import PRECISIONS, choose_device, choose_precision, device_lost, out_of_memory
from sr_experiments.inference.fast import STRIP, accelerated
from sr_experiments.inference.memory import budget
from sr_experiments.inference.runtimes import by_openvino, choose_runtime
from sr_experiments.inference.tiles import (
    ALIGNMENT,
    MARGIN,
    Tile,
    TiledNetwork,
    peak_bytes,
    plan,
    receptive_radius,
)

log = logging.getLogger(__name__)

SMALLEST_TILE = 96  # LR pixels; of smaller inputs torch computes convolutions in another way, with other last bits
SMALLEST_CORE = 64
PROBE = (4 * STRIP, 16)  # that memory is measured with: most of what a strip takes, other rows don't take again
UNLIMITED = 2**16  # pixels of a side
WORKSPACE = 1.5  # convolutions need memory besides their inputs and outputs: peak of tensors times this


class Engine:
    """Super-resolves arrays of pixels with a generator.

    Images and frames are uint8 or uint16 arrays (H, W, C) of RGB or grey; results are of the same type,
    (scale * H, scale * W, C). A grey image goes through an RGB network as three equal channels; of a colour image,
    a grey network enlarges the luma, and the chroma is enlarged bicubically.

    What doesn't fit into the memory there is goes through the network in tiles. The rest of the image stays where
    it is: only tiles are ever sent to the device. If memory runs out all the same, tiles get smaller, then the CPU
    takes over; both are said.

    Args:
        generator: with `scale`, `channels` and `forward(lr) -> sr`; a video generator also with
            `step(lr, state) -> (sr, state)`.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "fp32", "bf16" or "fp16" for the convolutions; "auto" is fp16 on CUDA, bf16 on a CPU that
            computes in it, fp32 elsewhere.
        tile: side of a tile in LR pixels with its margins; None to choose by the free memory.
        runtime: "torch", "compile" or "openvino"; "auto" is OpenVINO on a CPU where it is installed, torch elsewhere.

    Attributes:
        generator: as it was given, on the CPU.
        scale: upsampling factor.
        channels: of the network's images: 3 for RGB, 1 for grey.
        phase: where LR pixels lie on the HR grid, see `Degradation`.
        recurrent: whether frames of a clip have to come in order, through `next_frame`.
        device: where it runs; changes if the device is lost.
        precision: of the convolutions.
        runtime: what runs them.

    Raises:
        SRError: no such device, precision, runtime or tile size.
    """

    def __init__(
        self,
        generator: nn.Module,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        runtime: str = "auto",
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.runtime = choose_runtime(runtime, self.device, self.precision)
        self.scale = int(generator.scale)  # type: ignore[arg-type]
        self.channels = int(generator.channels)  # type: ignore[arg-type]
        self.phase = getattr(generator, "phase", "centred")
        self.recurrent = hasattr(generator, "step")
        self.generator = generator.eval().requires_grad_(False)
        self.state: Any = None  # what a recurrent generator carries from frame to frame
        self._prepare(self.generator)
        self.margin = self._margin()
        least = max(2 * self.margin + ALIGNMENT, SMALLEST_TILE)
        if tile is not None and tile < least:
            raise SRError(f"--tile {tile} is too small: this network needs at least {least}")
        self.tile = tile
        self._largest = UNLIMITED

    # -- images --------------------------------------------------------------------------------------------

    def upscale(self, image: np.ndarray, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """One image, (H, W, C) to (scale * H, scale * W, C).

        Args:
            image: uint8 or uint16, C of 3 or 1.
            progress: called with the tiles done and all tiles.
        """
        return self.upscale_batch([image], progress)[0]

    def upscale_batch(
        self, images: Sequence[np.ndarray], progress: Callable[[int, int], None] | None = None
    ) -> list[np.ndarray]:
        """Images of one size and type, as many in one call of the network as memory allows."""
        inputs = [self._to_network(image) for image in images]
        while True:
            try:
                outputs = self._tiled(inputs, progress)
                break
            except Exception as error:
                self._mend(error)
        return [self._from_network(output, image) for output, image in zip(outputs, images, strict=True)]

    def bicubic(self, image: np.ndarray) -> np.ndarray:
        """Enlarge (H, W, C) of uint8 or uint16 without the network, pixels lying where the network puts them."""
        height, width = (self.scale * side for side in image.shape[:2])
        if self.phase == "corner":
            step = np.array([[1 / self.scale, 0, 0], [0, 1 / self.scale, 0]])
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            large = cv2.warpAffine(image, step, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        else:
            large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        return large.reshape(height, width, image.shape[2])

    # -- clips ---------------------------------------------------------------------------------------------

    def start_clip(self) -> None:
        """Forget the frame before: a new clip begins, or a new shot."""
        self.state = None

    def next_frame(self, frame: np.ndarray) -> np.ndarray:
        """The next frame of a clip, (H, W, C) to (scale * H, scale * W, C); only of a recurrent generator."""
        if frame.shape[2] != self.channels:
            raise SRError(f"the video has {frame.shape[2]} channels a pixel, the network {self.channels}")
        while True:
            try:
                lr = self._tensor(frame)
                with self._running():
                    sr, state = self._network.step(lr, self.state)  # type: ignore[operator]
                    if self.runtime == "compile":  # the next frame writes over what its graphs gave
                        state = state._make(part if part is None else part.clone() for part in state)
                self.state = state
                return _pixels(sr, frame.dtype)
            except Exception as error:
                self._mend(error)

    def save_state(self) -> Any:
        """The recurrent state on the CPU, as plain tensors; None at the start of a clip."""
        return None if self.state is None else [None if x is None else x.cpu().clone() for x in self.state]

    def restore_state(self, saved: Any) -> None:
        """Go on from what `save_state` gave."""
        if saved is None:
            self.state = None
            return
        from sr_experiments.generators.frvsr import State

        lr, sr, flow = saved
        self.state = State(lr.to(self.device), sr.to(self.device), None if flow is None else flow.to(self.device))

    # -- parts ---------------------------------------------------------------------------------------------

    def _prepare(self, generator: nn.Module) -> None:
        self._network = self._made(generator)
        self._bytes_per_pixel: float | None = None

    def _made(self, generator: nn.Module) -> nn.Module:
        """The fastest form of a generator, by the runtime."""
        network = copy.deepcopy(generator).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(inner := getattr(network, "srnet", None), nn.Module):
            inner = self._fast(inner, self.channels * (1 + self.scale**2))
            if self.runtime == "openvino":
                flow = by_openvino(network.fnet, 2 * self.channels, 1, self.precision, FRAME_MULTIPLE)
                network.fnet = flow or network.fnet
            network.srnet = TiledNetwork(inner, self.scale, self._tiles)
            parts = [network.fnet, inner]
        else:
            network = self._fast(network, self.channels)
            parts = [network]
        if self.runtime == "compile":
            for part in parts:
                part.compile(mode="reduce-overhead")
        return network

    def _fast(self, network: nn.Module, channels: int) -> nn.Module:
        if self.device.type != "cpu":
            return network
        if self.runtime == "openvino":
            compiled = by_openvino(network, channels, self.scale, self.precision)
            if compiled is not None:
                return compiled
            self.runtime = "torch"
        return accelerated(network, channels, self.scale)

    @contextmanager
    def _running(self) -> Iterator[None]:
        kind = PRECISIONS[self.precision]
        if self.runtime == "compile":
            torch.compiler.cudagraph_mark_step_begin()  # what the graphs wrote before is no longer needed
        with torch.inference_mode(), torch.autocast(self.device.type, kind, enabled=kind != torch.float32):
            yield

    def _run(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) to SR, of a still image."""
        with self._running():
            return self._network.step(lr, None)[0] if self.recurrent else self._network(lr)  # type: ignore[operator]

    def _margin(self) -> int:
        def run(lr: Tensor) -> Tensor:
            network = self.generator
            return network.step(lr, None)[0] if self.recurrent else network(lr)  # type: ignore[operator]

        if self.device.type != "cpu":  # generator is what runs on the CPU
            self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        radius = receptive_radius(run, self.channels, self.scale)
        return MARGIN if radius is None else -(-radius // 4) * 4

    def _measured_bytes(self) -> float:
        """Of memory, for each pixel of LR, at the most."""
        self._bytes_per_pixel = 1.0  # no tiles while it is measured
        probe = torch.full((1, self.channels, *PROBE), 0.5, device=self.device)
        network, runtime = self._network, self.runtime
        if runtime == "openvino":  # torch can't see what that takes: about as much as torch itself
            self.runtime = "torch"
            self._network = self._made(self.generator)
        with torch.compiler.set_stance("force_eager"):
            peak = peak_bytes(self._run, probe)
        self._network, self.runtime = network, runtime
        return WORKSPACE * peak / math.prod(PROBE)

    def _tile_size(self) -> int:
        if self.tile is not None:
            return min(self.tile, self._largest)
        if self._bytes_per_pixel is None:
            self._bytes_per_pixel = self._measured_bytes()
        pixels = budget(self.device) / self._bytes_per_pixel
        side = int(min(pixels**0.5, pixels / PROBE[0]))
        smallest = SMALLEST_CORE + 2 * self.margin
        return max(min(side, self._largest) // ALIGNMENT * ALIGNMENT, smallest)

    def _tiles(self, height: int, width: int) -> list[Tile]:
        """How an LR image is cut for the memory there is: not at all where it fits."""
        size = self._tile_size()
        if self.tile is None and max(height, PROBE[0]) * width <= size**2:
            size = max(height, width)
        return plan(height, width, max(size, SMALLEST_TILE**2 // min(height, width)), self.margin)

    def _tiled(self, images: Sequence[np.ndarray], progress: Callable[[int, int], None] | None) -> list[np.ndarray]:
        height, width, channels = images[0].shape
        tiles = [Tile(0, 0, height, width, 0, 0, height, width)] if self.recurrent else self._tiles(height, width)
        at_once = max(self._tile_size() ** 2 // (max(height, PROBE[0]) * width), 1) if len(tiles) == 1 else 1
        outputs = [np.empty((height * self.scale, width * self.scale, channels), image.dtype) for image in images]
        jobs = [(slice(i, i + at_once), tile) for i in range(0, len(images), at_once) for tile in tiles]
        for number, (some, tile) in enumerate(jobs, 1):
            self._one_tile(images[some], outputs[some], tile)
            if progress is not None:
                progress(number, len(jobs))
        return outputs

    def _one_tile(self, images: Sequence[np.ndarray], outputs: Sequence[np.ndarray], tile: Tile) -> None:
        lr = torch.cat([self._tensor(image[tile.area]) for image in images])
        sr = self._run(lr)
        for one, output in zip(sr, outputs, strict=True):
            rows, columns = tile.core_within(self.scale)
            output[tile.core(self.scale)] = _pixels(one[None, :, rows, columns], output.dtype)

    def _tensor(self, image: np.ndarray) -> Tensor:
        """uint8 or uint16 (H, W, C) to float (1, C, H, W) in [0, 1] on the device."""
        levels = np.iinfo(image.dtype).max
        if image.dtype == np.uint8:
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).float()
        else:
            pixels = torch.from_numpy(image.astype(np.float32)).to(self.device)
        return (pixels / levels).permute(2, 0, 1)[None]  # channels_last in memory

    def _to_network(self, image: np.ndarray) -> np.ndarray:
        if image.shape[2] == self.channels:
            return image
        if self.channels == 3:
            return image.repeat(3, 2)
        return _luma(image)

    def _from_network(self, output: np.ndarray, image: np.ndarray) -> np.ndarray:
        if image.shape[2] == self.channels:
            return output
        if self.channels == 3:
            return _luma(output)
        large = self.bicubic(image).astype(np.float32)
        enlarged = large + (output - _luma(large))
        return np.clip(np.rint(enlarged), 0, np.iinfo(image.dtype).max).astype(image.dtype)

    def _mend(self, error: Exception) -> None:
        """After running out of memory or losing the device: change what is needed to try again, or raise."""
        on_cpu = self.device.type == "cpu"
        size = min(self._tile_size(), self._largest)
        if out_of_memory(error):
            if size > SMALLEST_CORE + 2 * self.margin:
                self._largest = max(size // 2 // ALIGNMENT * ALIGNMENT, SMALLEST_CORE + 2 * self.margin)
                log.warning("out of memory on %s: going on with tiles of %d", self.device, self._largest)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                return
            reason = "out of memory even with the smallest tiles"
        elif device_lost(error):
            reason = f"the device is lost ({str(error).splitlines()[0]})"
        else:
            raise error
        if on_cpu:
            raise SRError(f"{reason}: close other programs, or give a smaller --tile") from error
        log.warning("%s: %s, going on on the CPU", self.device, reason)
        try:
            state = self.save_state()
        except RuntimeError:
            state = None
        self.device, self.precision, self.runtime, self._largest = torch.device("cpu"), "fp32", "torch", UNLIMITED
        self._prepare(self.generator)
        self.restore_state(state)


def _pixels(sr: Tensor, kind: Any) -> np.ndarray:
    """(1, C, H, W) in [0, 1] to an array (H, W, C) of integers."""
    levels = np.iinfo(kind).max
    scaled = sr[0].float().clamp(0, 1).mul_(levels).round_().permute(1, 2, 0)
    return scaled.byte().cpu().numpy() if kind == np.uint8 else scaled.cpu().numpy().astype(kind)


def _luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma over the full range: (H, W, 3) to (H, W, 1), of the same type."""
    weighted = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return (weighted if image.dtype == np.float32 else np.rint(weighted).astype(image.dtype))[..., None]
