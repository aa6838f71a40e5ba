"""MATLAB's bicubic `imresize`, the way published LR images are made.

Follows `imresize.m` of MATLAB's Image Processing Toolbox: cubic convolution with a = -0.5 (Keys 1981), the
kernel widened by the scale when shrinking (antialiasing), symmetric borders, and 8-bit images rounded after
each of the two passes.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sr_experiments.errors import SRError

# Where LR pixel i lies on the HR grid: in the middle of HR pixels scale * i .. scale * i + scale - 1, or on the
# first of them. In numbers: what is added to a pixel's index to get its coordinate, in pixels.
PHASES = {"centred": 0.5, "corner": 0.0}


def imresize(
    image: Tensor, scale: float | Fraction | tuple[int, int], quantise: bool = True, phase: str = "centred"
) -> Tensor:
    """Resize images as MATLAB's `imresize(image, scale)` does.

    Computed in float64 whatever the input's type and autocast (float32 on mps), with one small matrix per
    direction, so it is batched and runs on the image's device.

    Args:
        image: (N, C, H, W), values in [0, 1].
        scale: factor for both directions, giving ceil(scale * size) pixels, or the output size (H, W). A float
            stands for the nearest fraction with a denominator of at most 1000: 1 / 3 is exactly a third.
        quantise: treat values as 8-bit, as MATLAB does for uint8 images: the input is rounded to 255ths, and
            so are, clipped to [0, 1], the result of the first pass and the output. Otherwise nothing is rounded
            or clipped and gradients flow.
        phase: "centred", as MATLAB does; or "corner", where output pixel 0 lies on input pixel 0.

    Returns:
        (N, C, H', W'), of the input's type, float32 for half precision.
    """
    height, width = image.shape[-2:]
    if isinstance(scale, tuple):
        sizes = scale
        scales = (Fraction(scale[0], height), Fraction(scale[1], width))
    else:
        factor = scale if isinstance(scale, Fraction) else Fraction(scale).limit_denominator(1000)
        sizes = (math.ceil(factor * height), math.ceil(factor * width))
        scales = (factor, factor)
    work, result = working_types(image)
    with torch.autocast(image.device.type, enabled=False):
        values = image.to(work)
        if quantise:
            values = round_half_up(values * 255)
        # The direction that shrinks most comes first; of two equal ones, the vertical.
        for axis in sorted((0, 1), key=lambda i: scales[i]):
            arguments = (height, width)[axis], sizes[axis], scales[axis], phase
            matrix = device_matrix(resize_weights, arguments, image.device, work)
            values = matrix @ values if axis == 0 else values @ matrix.T  # (N, C, H', W), (N, C, H', W')
            if quantise:
                values = round_half_up(values).clamp(0, 255)
        # Divided in the type of the result, as an image read from a file is.
        return values.to(result) / 255 if quantise else values.to(result)


def bicubic_upsample(lr: Tensor, scale: int, phase: str = "centred") -> Tensor:
    """The bicubic baseline: 8-bit images enlarged by MATLAB's `imresize`, or by the same kernel in another phase.

    Args:
        lr: (N, C, H, W), values in [0, 1].
        scale: whole factor.
        phase: of the degradation that made LR: where LR pixels lie on the HR grid, one of PHASES.

    Returns:
        (N, C, scale * H, scale * W), 255ths in [0, 1].

    Raises:
        SRError: unknown phase.
    """
    if phase not in PHASES:
        raise SRError(f"unknown phase {phase!r} of LR pixels: choose one of {', '.join(PHASES)}")
    return imresize(lr, Fraction(scale), phase=phase)


def working_types(image: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """The type to compute in, float64 where the device has it, and that of the result, at least float32."""
    work = torch.float32 if image.device.type == "mps" else torch.float64
    return work, torch.float32 if image.dtype in (torch.float16, torch.bfloat16) else image.dtype


def round_half_up(values: Tensor) -> Tensor:
    """Round to whole numbers, halves up (MATLAB rounds them away from zero, and negative values are clipped).

    The nudge is far below the distance between values that can differ, and above the rounding errors of the
    sums: an exact half is rounded alike on every device.
    """
    return (values + (0.5 + (1e-9 if values.dtype == torch.float64 else 1e-4))).floor()


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def device_matrix(
    weights: Callable[..., np.ndarray], arguments: tuple, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """The matrix `weights(*arguments)`, which works on one direction, on the device; made once."""
    return torch.from_numpy(weights(*arguments)).to(device, dtype)


def resize_weights(size: int, out_size: int, scale: Fraction, phase: str = "centred") -> np.ndarray:
    """Weights of every input pixel in every output pixel, (out_size, size), rows summing to 1."""
    shrink = min(float(scale), 1.0)
    support = 4 / shrink
    # Centres of the output pixels in coordinates where input pixel i has its centre at i.
    offset = PHASES[phase]
    centres = (np.arange(out_size) + offset) / float(scale) - offset
    taps = math.ceil(support) + 2
    positions = np.floor(centres - support / 2).astype(np.int64)[:, None] + np.arange(taps)  # (out_size, taps)
    weights = _cubic((centres[:, None] - positions) * shrink)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = positions % (2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    matrix = np.zeros((out_size, size))
    np.add.at(matrix, (np.arange(out_size)[:, None], mirrored), weights)
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel, a = -0.5."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))
