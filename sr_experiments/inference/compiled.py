"""A network compiled by OpenVINO, on NumPy arrays: running it doesn't need torch."""

import contextlib
import functools
import sys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from sr_experiments.inference.tiles import STRIP, Tile, run_in_tiles, strips

BLOCK = 64  # rows that are converted at a time, so that they stay in a CPU's cache


class CompiledModel:
    """An OpenVINO model compiled for this CPU: float32 arrays (N, C, H, W) of any N, H and W to one such.

    Args:
        model: OpenVINO's, in fp32.
        precision: "fp32" or "bf16", of all that isn't marked in the model.
        threads: of the CPU.

    Attributes:
        model: OpenVINO's, until it isn't needed any more.
    """

    def __init__(self, model: Any, precision: str, threads: int) -> None:
        import openvino as ov

        self.model: Any | None = model
        self.precision = precision
        self.threads = threads
        settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": ov.Type.f32, "bf16": ov.Type.bf16}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self._request = openvino_core().compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run the model."""
        result: Any = self._request.infer([np.ascontiguousarray(x) for x in inputs], share_inputs=True)[0]
        return result


class CompiledNetwork:
    """A network as one model, or as two of which the second is run strip by strip, see `fast.StripNetwork`.

    Args:
        models: the whole, or `extract_features` and `reconstruct`.
        scale: upsampling factor.
        margin: of the strips, in LR pixels.
    """

    def __init__(self, models: Sequence[CompiledModel], scale: int, margin: int = 0) -> None:
        self.models = list(models)
        self.scale = scale
        self.margin = margin

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run it on float32 (N, C, H, W) in [0, 1]: one, or as many as the model has inputs."""
        if len(self.models) == 1:
            return self.models[0](*inputs)
        (lr,) = inputs
        return self.reconstruct(self.extract_features(lr), lr)

    def extract_features(self, lr: np.ndarray) -> np.ndarray:
        """Run the first of two models: LR (N, C, H, W) to (N, F, H, W)."""
        return self.models[0](lr)

    def reconstruct(self, features: np.ndarray, lr: np.ndarray) -> np.ndarray:
        """Run the second model, strip by strip, to (N, C', scale * H, scale * W)."""
        tiles = strips(lr.shape[-2], lr.shape[-1], STRIP, self.margin)
        return run_in_tiles(self.models[1], (features, lr), self.scale, tiles, _empty)

    def enlarge(self, images: Sequence[np.ndarray], tile: Tile) -> list[np.ndarray]:
        """Return the core of a tile in SR, of images (H, W, C) of any depth."""
        sr = self(np.stack([_to_floats(image[tile.area]) for image in images]))
        rows, columns = tile.core_within(self.scale)
        return [_to_pixels(one[:, rows, columns], images[0].dtype) for one in sr]


@functools.cache
def openvino_core() -> Any:
    """Return the only OpenVINO instance of the process, which is never unloaded.

    Each instance sets an alternate signal stack for the thread. When two are destroyed in the order of their creation,
    the thread keeps the stack of a destroyed one, and the next signal crashes the process.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # it would report every use to Intel
    import openvino as ov

    core = ov.Core()
    # For each new size of image it would keep all layers prepared, up to gigabytes; the last size stays as it is.
    with contextlib.suppress(RuntimeError):  # the setting is not documented
        core.set_property("CPU", {"CPU_RUNTIME_CACHE_CAPACITY": 0})
    return core


def _empty(like: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, like.dtype)


def _to_floats(image: np.ndarray) -> np.ndarray:
    """Convert (H, W, C) of any depth to float32 (C, H, W) in [0, 1]."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)
    if image.dtype.kind == "f":
        return planes
    return np.divide(planes, np.iinfo(image.dtype).max, out=planes)


def _to_pixels(sr: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert float32 (C, H, W) to (H, W, C) of a depth; as floating-point numbers they are not clipped."""
    if dtype.kind == "f":
        return np.ascontiguousarray(sr.transpose(1, 2, 0))
    channels, height, width = sr.shape
    pixels = np.empty((height, width, channels), dtype)
    for top in range(0, height, BLOCK):
        block = np.clip(sr[:, top : top + BLOCK], 0, 1)
        block *= np.iinfo(dtype).max
        np.rint(block, out=block)
        cv2.merge(list(block.astype(dtype)), pixels[top : top + BLOCK])
    return pixels
