"""The inference engine: a generator on its device, in its precision, tile by tile within the free memory."""

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.checkpoints.digest import network_digest
from sr_experiments.errors import SRError, first_line
from sr_experiments.generators.flow import FlowNetwork
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator, State
from sr_experiments.inference.device import (
    PRECISIONS,
    choose_device,
    choose_precision,
    device_lost,
    memory_budget,
    out_of_memory,
)
from sr_experiments.inference.fast import Part, TiledNetwork, TiledParts, optimised_for_cpu
from sr_experiments.inference.image_engine import PROBE, UNLIMITED, ImageEngine, Traits
from sr_experiments.inference.int8 import Quantization
from sr_experiments.inference.probes import LiveBytes, receptive_radius
from sr_experiments.inference.runtimes import OpenVINONetwork, choose_runtime, compiled_by_openvino
from sr_experiments.inference.tiles import MARGIN, Tile

log = logging.getLogger(__name__)

WORKSPACE = 1.5  # factor on the measured peak of tensors: convolutions need memory besides their inputs and outputs

SavedState = Sequence[Any] | None  # the tensors of a `State`, as `sr upscale` keeps them on disk


class Engine(ImageEngine):
    """Super-resolve images and video frames, given as arrays of pixels, with a generator.

    Only tiles are sent to the device. If it runs out of memory even with the smallest tile, or is lost, the CPU takes
    over; both are logged.

    Args:
        generator: the network.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: of the convolutions, see `choose_precision`; "auto" is "fp32" for a network that was trained on
            floating-point numbers.
        tile: side of a tile in LR pixels, including its margins; None to choose it by the free memory.
        runtime: library that runs the layers, see `choose_runtime`.
        int8: convolutions to compute in int8, for precision "int8"; for a recurrent network, those of its SR network.

    Attributes:
        generator: the given network, on the CPU.
        device: where the network runs; it, precision and runtime change if the device is lost.
        state: state of a recurrent network after the previous frame.

    Raises:
        SRError: no such device, precision, runtime or tile size.
    """

    device: torch.device

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
        if precision == "auto" and generator.bits == "float":  # others round to 8 or 11 bits
            precision = "fp32"
        self.precision = choose_precision(precision, self.device)
        self.runtime = choose_runtime(runtime, self.device, self.precision)
        self.recurrent = isinstance(generator, RecurrentGenerator)
        self.lookahead = generator.lookahead if isinstance(generator, RecurrentGenerator) else 0
        self.generator = generator.eval().requires_grad_(False)
        self.int8 = int8
        if self.precision == "int8" and not int8:
            raise SRError("nothing is known of this network in int8: make a file of it with sr quantize")
        self.state: State | None = None
        self._bytes_per_pixel: float | None = None
        super().__init__(_traits(self.generator), tile)
        self._prepare()
        if self.device.type != "cpu":  # the CPU's copy of the weights is laid out as the device's
            self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def compiled(self) -> OpenVINONetwork | None:
        """The network in OpenVINO, if that runs all of it."""
        return self._network if isinstance(self._network, OpenVINONetwork) else None

    def digest(self) -> str:
        """Return the digest of the generator."""
        return network_digest(self.generator)

    def bytes_per_pixel(self) -> float:
        """Return the peak of memory per LR pixel, measured once."""
        if self._bytes_per_pixel is None:
            self._bytes_per_pixel = self._measure_bytes()
        return self._bytes_per_pixel

    def start_clip(self) -> None:
        """Reset the recurrent state: a new clip begins, or a new shot."""
        self.state = None

    def next_frame(self, frame: np.ndarray, *later: np.ndarray) -> np.ndarray:
        """Upscale the next frame of a clip, (H, W, C) to (scale * H, scale * W, C), with a recurrent network.

        A network with a lookahead is also given the frames after it in the same shot, see `RecurrentGenerator.step`.
        """
        if frame.shape[2] != self.channels:
            raise SRError(f"the video has {frame.shape[2]} channels a pixel, the network {self.channels}")
        while True:
            try:
                lr, *later_lr = (self._tensor(one) for one in (frame, *later))
                with self._inference():
                    assert isinstance(self._network, RecurrentGenerator)
                    sr, state = self._network.step(lr, self.state, *later_lr)
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
        self.state = None if saved is None else State(*saved).map(lambda tensor: tensor.to(self.device))

    def _prepare(self) -> None:
        self._network = self._optimised(self.generator)
        self._bytes_per_pixel = None

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
        fuse: Any = network.srnet.fuse if network.lookahead else None
        # Only the SR net runs in tiles: the flow net needs the whole frames, and much less memory.
        srnet = self._optimised_part(network.srnet, self.channels + network.extra_channels)
        if network.handed_on == "sr":
            network.srnet = TiledNetwork(srnet, self.scale, self._tiles)
        else:
            network.srnet = self._in_two_parts(srnet)
            if fuse is not None:
                network.srnet.fuse = TiledNetwork(fuse, 1, self._tiles)
        if network.fnet is None:
            return network
        learned = "fnet" in network.parts
        if self.runtime == "openvino":
            precision = choose_precision("auto", self.device) if self.precision == "int8" else self.precision
            precision = precision if learned else "fp32"  # sums of squared gradients need it
            compiled = compiled_by_openvino(network.fnet, 2 * self.channels, 1, precision, network.size_multiple)
            network.fnet = compiled or network.fnet
        elif self.runtime == "compile" and learned:
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
        parts = Part(network, network.extract_features), Part(network, network.reconstruct)
        if self.runtime == "compile":
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
        parts = [part for part in self._network.modules() if isinstance(part, OpenVINONetwork)]
        for part in parts:  # its memory is not torch's to see; it takes about as much as torch does
            part.run_by_torch()
        with self._uncompiled(), LiveBytes() as live:
            self._run(probe)
        for part in parts:
            part.forget_torch()
        return WORKSPACE * live.peak / math.prod(PROBE)

    def _uncompiled(self) -> AbstractContextManager[object]:
        if self.runtime != "compile":  # else torch would import its compiler, which takes seconds
            return nullcontext()
        return torch.compiler.set_stance("force_eager")

    def _memory_budget(self) -> int:
        return memory_budget(self.device)

    def _enlarge(self, images: Sequence[np.ndarray], tile: Tile) -> Sequence[np.ndarray]:
        if self.compiled is not None:
            return self.compiled.network.enlarge(images, tile)
        sr = self._run(torch.cat([self._tensor(image[tile.area]) for image in images]), tile.top, tile.left)
        rows, columns = tile.core_within(self.scale)
        return [_pixels(pixels[None, :, rows, columns], images[0].dtype) for pixels in sr]

    def _tensor(self, image: np.ndarray) -> Tensor:
        """Convert (H, W, C) of any depth to float (1, C, H, W) in [0, 1] on the device."""
        if image.dtype == np.uint8:
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).float()
        else:
            pixels = torch.from_numpy(image.astype(np.float32)).to(self.device)
        white = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
        return (pixels / white).permute(2, 0, 1)[None]  # (1, C, H, W), channels last in memory

    def _recover(self, error: Exception) -> None:
        """Prepare another attempt after running out of memory or losing the device; raise any other error again."""
        if self._out_of_memory(error):
            try:
                super()._recover(error)
            except SRError:
                if self.device.type == "cpu":
                    raise
                reason = "out of memory even with the smallest tiles"
            else:
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                return
        elif self.device.type != "cpu" and device_lost(error):
            reason = f"the device is lost ({first_line(error)})"
        else:
            raise error
        log.warning("%s: %s, going on on the CPU", self.device, reason)
        try:
            state = self.save_state()
        except RuntimeError:  # it was on the lost device
            state = None
        self.device, self.precision, self.runtime, self._largest = torch.device("cpu"), "fp32", "torch", UNLIMITED
        self._prepare()
        self.restore_state(state)

    def _out_of_memory(self, error: Exception) -> bool:
        return out_of_memory(error) or super()._out_of_memory(error)


def _traits(generator: Generator) -> Traits:
    radius = generator.receptive_radius
    if radius is None:
        radius = receptive_radius(partial(_still_image, generator), generator.channels, generator.scale)
    return Traits(
        scale=generator.scale,
        channels=generator.channels,
        phase=generator.phase or "centred",
        margin=MARGIN if radius is None else -(-radius // 4) * 4,
        size_multiple=generator.size_multiple,
        whole_image=generator.whole_image,
        sampling=dict(generator.sampling),
        bits=generator.bits,
    )


def _still_image(network: nn.Module, lr: Tensor) -> Tensor:
    """Run a network on images (N, C, H, W) that have no previous frame."""
    return network.step(lr, None)[0] if isinstance(network, RecurrentGenerator) else network(lr)


def _pixels(sr: Tensor, dtype: np.dtype) -> np.ndarray:
    """Convert (1, C, H, W) to an array (H, W, C): integers of [0, 1], floating-point numbers as they are."""
    if dtype.kind == "f":
        return sr[0].float().permute(1, 2, 0).cpu().numpy()
    levels = np.iinfo(dtype).max
    scaled = sr[0].float().clamp(0, 1).mul_(levels).round_().permute(1, 2, 0)  # (H, W, C)
    return scaled.byte().cpu().numpy() if dtype == np.uint8 else scaled.cpu().numpy().astype(dtype)
