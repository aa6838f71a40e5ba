"""The weights of MATLAB's bicubic `imresize`, and the resizing of arrays of pixels by them, without torch.

See `data.resize` for tensors, and for the source.
"""

import math
from fractions import Fraction

import numpy as np

# Position of LR pixel i on the HR grid: the centre of HR pixels scale * i to scale * i + scale - 1, or the first of
# them. The values are added to a pixel index to get its coordinate in pixels.
PHASES = {"centred": 0.5, "corner": 0.0}

_ROWS = 64  # of the output, made at once: few, so that the matrix of their weights is small


def resize_pixels(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image as MATLAB's `imresize(image, size)` does: bicubically, antialiased where it gets smaller.

    As in MATLAB, values are resized as they are stored, not linear in light, and integers rounded after each of the two
    passes.

    Args:
        image: uint8, uint16 or float32 (H, W, C).
        size: height and width to make.

    Returns:
        (*size, C) of the same type.
    """
    scales = [Fraction(after, before) for after, before in zip(size, image.shape, strict=False)]
    for axis in sorted((0, 1), key=lambda i: scales[i]):  # the one that shrinks most first
        if image.shape[axis] != size[axis]:
            rows = image if axis == 0 else image.swapaxes(0, 1)
            resized = _resize_rows(rows, size[axis], scales[axis])
            image = resized if axis == 0 else resized.swapaxes(0, 1)
    return np.ascontiguousarray(image)


def resize_weights(size: int, out_size: int, scale: Fraction, phase: str = "centred") -> np.ndarray:
    """Return the weights of input pixels in each output pixel, (out_size, size); rows sum to 1."""
    positions, weights = _taps(np.arange(out_size), size, scale, phase)
    matrix = np.zeros((out_size, size))
    np.add.at(matrix, (np.arange(out_size)[:, None], positions), weights)
    return matrix


def _resize_rows(image: np.ndarray, height: int, scale: Fraction) -> np.ndarray:
    """Resize (H, W, C) to (height, W, C), some rows at a time."""
    resized = np.empty((height, *image.shape[1:]), image.dtype)
    for start in range(0, height, _ROWS):
        rows = np.arange(start, min(start + _ROWS, height))
        positions, weights = _taps(rows, len(image), scale, "centred")
        first = positions.min()
        matrix = np.zeros((len(rows), positions.max() + 1 - first))
        np.add.at(matrix, (np.arange(len(rows))[:, None], positions - first), weights)
        part = image[first : first + matrix.shape[1]]
        values = matrix @ part.reshape(len(part), -1).astype(np.float64)
        if image.dtype.kind == "f":
            resized[rows] = values.reshape(len(rows), *image.shape[1:])
            continue
        # Halves are rounded up, as in `data.resize.round_half_up`.
        levels = np.floor(values + (0.5 + 1e-9)).clip(0, np.iinfo(image.dtype).max)
        resized[rows] = levels.reshape(len(rows), *image.shape[1:])
    return resized


def _taps(rows: np.ndarray, size: int, scale: Fraction, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the input pixels that output pixels depend on, and their weights, (rows, taps)."""
    shrink = min(float(scale), 1.0)
    support = 4 / shrink
    # Centres of the output pixels in coordinates where input pixel i has its centre at i.
    offset = PHASES[phase]
    centres = (rows + offset) / float(scale) - offset
    taps = math.ceil(support) + 2
    positions = np.floor(centres - support / 2).astype(np.int64)[:, None] + np.arange(taps)  # (rows, taps)
    weights = _cubic((centres[:, None] - positions) * shrink)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = positions % (2 * size)
    return np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored), weights


def _cubic(x: np.ndarray) -> np.ndarray:
    """Evaluate Keys' cubic convolution kernel, a = -0.5."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))
