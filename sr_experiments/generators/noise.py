"""Gaussian noise as a function of seed and position in the image, so that tiles and frames see the same noise."""

import numpy as np
import torch
from torch import Tensor

BLOCK = 64  # pixels; noise is drawn in blocks of this side


def noise_at(seed: int, top: int, left: int, height: int, width: int, channels: int) -> Tensor:
    """Return standard normal noise (1, channels, height, width) of a part of an unbounded image.

    The value of a pixel depends on the seed and on its position only: each block has a counter of its own in the
    generator Philox (Salmon et al. 2011).

    Args:
        seed: in [0, 2^32).
        top: first row, 0 or more.
        left: first column, 0 or more.
        height: rows.
        width: columns.
        channels: of the image; an image of other channels has other noise.
    """
    noise = np.empty((height, width, channels), np.float32)
    for row in range(top // BLOCK, -(-(top + height) // BLOCK)):
        for column in range(left // BLOCK, -(-(left + width) // BLOCK)):
            random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, row, column]))
            block = random.standard_normal((BLOCK, BLOCK, channels), np.float32)
            y, x = row * BLOCK - top, column * BLOCK - left  # of the block, in the part
            rows, columns = slice(max(y, 0), min(y + BLOCK, height)), slice(max(x, 0), min(x + BLOCK, width))
            noise[rows, columns] = block[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    return torch.from_numpy(noise).permute(2, 0, 1)[None]
