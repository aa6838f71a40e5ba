"""Gaussian blur, then every scale-th pixel: "BD", the degradation of FRVSR, TecoGAN and their benchmarks.

FRVSR (Sajjadi et al. 2018, arXiv 1801.04590) names sigma 1.5 at scale 4; the size of the kernel is TecoGAN's
(`tf_data_gaussDownby4`), 1 + 2 int(3 sigma).
"""

import numpy as np
import torch
from torch import Tensor

from sr_experiments.config.constraints import Positive
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.resize import device_matrix, round_half_up, working_types


@DEGRADATIONS.register("blur_down")
class BlurDown:
    """LR is every scale-th pixel, from pixel 0 on, of blurred 8-bit images; mirrored at the border pixels' centres.

    Args:
        scale: whole downsampling factor.
        sigma: of the Gaussian, in HR pixels; 1.5 is the published one.
    """

    phase = "corner"
    pool_size = 0

    def __init__(self, scale: int, sigma: Positive = 1.5) -> None:
        self.scale = scale
        self.sigma = sigma

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """Make the LR batch of a training step; nothing here is random.

        Args:
            hr: (N, C, H, W) in [0, 1], H and W multiples of the scale.
            generator: unused.
            frames: unused.

        Returns:
            (N, C, H / scale, W / scale), 255ths in [0, 1].
        """
        return self.validation(hr)

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Make the LR image of a validation image, (N, C, H / scale, W / scale).

        Computed in float64 whatever the input's type and autocast, as `imresize` is.
        """
        work, result = working_types(hr)
        with torch.autocast(hr.device.type, enabled=False):
            values = round_half_up(hr.to(work) * 255)
            rows, columns = (
                device_matrix(blur_down_weights, (size, self.scale, self.sigma), hr.device, work)
                for size in hr.shape[-2:]
            )
            values = rows @ values @ columns.T  # (N, C, H', W'), never outside [0, 255]
            return round_half_up(values).to(result) / 255

    def target(self, hr: Tensor) -> Tensor:
        """HR as it is."""
        return hr


def blur_down_weights(size: int, scale: int, sigma: float) -> np.ndarray:
    """Weights of every HR pixel in every LR pixel, (size / scale, size), rows summing to 1."""
    radius = int(3 * sigma)
    taps = np.arange(-radius, radius + 1)
    kernel = np.exp(-(taps**2) / (2 * sigma**2))
    positions = np.arange(0, size, scale)[:, None] + taps  # (size / scale, taps)
    period = max(2 * (size - 1), 1)
    mirrored = positions % period
    mirrored = np.where(mirrored < size, mirrored, period - mirrored)
    matrix = np.zeros((len(positions), size))
    np.add.at(matrix, (np.arange(len(positions))[:, None], mirrored), kernel / kernel.sum())
    return matrix
