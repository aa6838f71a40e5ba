"""Gaussian blur and subsampling ("BD"), the degradation of FRVSR, TecoGAN and their benchmarks.

FRVSR (Sajjadi et al. 2018, arXiv 1801.04590) uses sigma 1.5 at scale 4; the kernel size, 1 + 2 int(3 sigma), is
that of TecoGAN (`tf_data_gaussDownby4`).
"""

import numpy as np
import torch
from torch import Tensor

from sr_experiments.config.constraints import Positive
from sr_experiments.data.degradations import DEGRADATIONS, Degradation
from sr_experiments.data.depth import LEVELS
from sr_experiments.data.resize import computation_types, device_matrix, round_half_up


@DEGRADATIONS.register("blur_down")
class BlurDown(Degradation):
    """Degradation that blurs images and keeps every scale-th pixel, starting at pixel 0.

    Borders are reflected about the centres of the border pixels (OpenCV's BORDER_REFLECT_101).

    Args:
        sigma: standard deviation of the Gaussian, in HR pixels; 1.5 is the published value.
    """

    phase = "corner"

    def __init__(self, scale: int, sigma: Positive = 1.5) -> None:
        super().__init__(scale)
        self.sigma = sigma

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Return LR, (N, C, H / scale, W / scale).

        Computed in float64 regardless of input type and autocast, like `imresize`.
        """
        compute_type, result_type = computation_types(hr)
        white = LEVELS[self.bits]
        if white is None:
            return blurred_down(hr.to(compute_type), self.scale, self.sigma).to(result_type)
        values = blurred_down(round_half_up(hr.to(compute_type) * white), self.scale, self.sigma)  # in [0, white]
        return round_half_up(values).to(result_type) / white


def blurred_down(image: Tensor, scale: int, sigma: float) -> Tensor:
    """Blur images (N, C, H, W) and keep every scale-th pixel, (N, C, H / scale, W / scale); gradients flow."""
    compute_type, result_type = computation_types(image)
    kernel = scale, sigma, int(3 * sigma)
    with torch.autocast(image.device.type, enabled=False):
        rows, columns = (
            device_matrix(gaussian_weights, (size, *kernel), image.device, compute_type) for size in image.shape[-2:]
        )
        return (rows @ image.to(compute_type) @ columns.T).to(result_type)


def gaussian_weights(size: int, step: int, sigma: float, radius: int) -> np.ndarray:
    """Return the weights of all pixels in every step-th blurred one, (size / step, size); rows sum to 1."""
    taps = np.arange(-radius, radius + 1)
    kernel = np.exp(-(taps**2) / (2 * sigma**2))
    positions = np.arange(0, size, step)[:, None] + taps  # (size / step, taps)
    period = max(2 * (size - 1), 1)  # reflection repeats after this many pixels; the border pixel is not doubled
    mirrored = positions % period
    mirrored = np.where(mirrored < size, mirrored, period - mirrored)
    matrix = np.zeros((len(positions), size))
    np.add.at(matrix, (np.arange(len(positions))[:, None], mirrored), kernel / kernel.sum())
    return matrix
