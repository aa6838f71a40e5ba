"""MATLAB's bicubic `imresize`, which published LR images are made with.

Follows `imresize.m` of MATLAB's Image Processing Toolbox: cubic convolution with a = -0.5 (Keys 1981), a kernel
widened by the scale when shrinking (antialiasing), symmetric borders, and 8-bit images rounded after each of the
two passes.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sr_experiments.data.cubic import PHASES, resize_weights
from sr_experiments.data.depth import LEVELS, Bits
from sr_experiments.errors import SRError


def imresize(
    image: Tensor, scale: float | Fraction | tuple[int, int], bits: Bits = 8, phase: str = "centred"
) -> Tensor:
    """Resize images as MATLAB's `imresize(image, scale)` does.

    Computed in float64 regardless of input type and autocast (float32 on mps), with one small matrix per axis, so it
    is batched and runs on the image's device.

    Args:
        image: (N, C, H, W), values in [0, 1].
        scale: factor for both axes, giving ceil(scale * size) pixels, or the output size (H, W). A float stands for
            the nearest fraction with a denominator of at most 1000: 1 / 3 is exactly a third.
        bits: 8 or 16 to treat values as integers, as MATLAB does for uint8 or uint16 images: the input is rounded to
            multiples of 1/255 or 1/65535; the result of the first pass and the output are also clipped to [0, 1]. With
            "float" nothing is rounded or clipped and gradients flow.
        phase: "centred", as in MATLAB, or "corner", where output pixel 0 lies on input pixel 0.

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
    compute_type, result_type = computation_types(image)
    white = LEVELS[bits]
    with torch.autocast(image.device.type, enabled=False):
        values = image.to(compute_type)
        if white is not None:
            values = round_half_up(values * white)
        # MATLAB resizes the axis that shrinks most first, rows first if both shrink alike; rounding in between matters.
        for axis in sorted((0, 1), key=lambda i: scales[i]):
            arguments = (height, width)[axis], sizes[axis], scales[axis], phase
            matrix = device_matrix(resize_weights, arguments, image.device, compute_type)
            values = matrix @ values if axis == 0 else values @ matrix.T  # (N, C, H', W), (N, C, H', W')
            if white is not None:
                values = round_half_up(values).clamp(0, white)
        # Divided in the result type, so that values equal those of an image read from a file.
        return values.to(result_type) if white is None else values.to(result_type) / white


def bicubic_upsample(lr: Tensor, scale: int, phase: str = "centred", bits: Bits = 8) -> Tensor:
    """Upsample images with MATLAB's `imresize`, the bicubic baseline, or the same kernel in another phase.

    Args:
        lr: (N, C, H, W), values in [0, 1].
        scale: integer factor.
        phase: phase of the degradation that made LR, one of PHASES: where LR pixels lie on the HR grid.
        bits: depth of LR and of the result.

    Returns:
        (N, C, scale * H, scale * W) in [0, 1], for 8 bits multiples of 1/255.

    Raises:
        SRError: unknown phase.
    """
    if phase not in PHASES:
        raise SRError(f"unknown phase {phase!r} of LR pixels: choose one of {', '.join(PHASES)}")
    return _clipped(imresize(lr, Fraction(scale), bits, phase), bits)


def bicubic_downsample(hr: Tensor, scale: int, bits: Bits = 8) -> Tensor:
    """Return LR by MATLAB's `imresize(hr, 1 / scale)`.

    Args:
        hr: (N, C, H, W), values in [0, 1].
        scale: integer factor.
        bits: depth of HR and of the result.

    Returns:
        (N, C, H / scale, W / scale) in [0, 1], for 8 bits multiples of 1/255.
    """
    return _clipped(imresize(hr, Fraction(1, scale), bits), bits)


def _clipped(image: Tensor, bits: Bits) -> Tensor:
    """Clip what `imresize` makes of floating-point numbers; that of integers is clipped already."""
    return image.clamp(0, 1) if bits == "float" else image


def computation_types(image: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """Return the type to compute in, float64 where the device has it, and the type of the result, at least float32."""
    compute_type = torch.float32 if image.device.type == "mps" else torch.float64
    return compute_type, torch.float32 if image.dtype in (torch.float16, torch.bfloat16) else image.dtype


def round_half_up(values: Tensor) -> Tensor:
    """Round to whole numbers, halves up (MATLAB rounds them away from zero, but negative values are clipped anyway).

    The small offset is far below the distance between values that can differ and above the rounding errors of the
    sums, so an exact half is rounded the same way on every device.
    """
    return (values + (0.5 + (1e-9 if values.dtype == torch.float64 else 1e-4))).floor()


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a cached inference tensor could not be used in a later backward pass
def device_matrix(
    weights: Callable[..., np.ndarray], arguments: tuple, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Return the matrix `weights(*arguments)` on the device; cached, since training repeats a few sizes."""
    return torch.from_numpy(weights(*arguments)).to(device, dtype)
