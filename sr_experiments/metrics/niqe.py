"""NIQE: distance of an image's statistics from those of pristine photographs, without a reference.

Mittal, Soundararajan, Bovik: "Making a 'completely blind' image quality analyzer", IEEE Signal Processing Letters 2013.
"""

from fractions import Fraction

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from sr_experiments.data.resize import imresize
from sr_experiments.errors import SRError
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import ImageMetric, luma
from sr_experiments.pretrained.fetch import fetch

BLOCK = 96  # side of a block, on the image itself; half of that on the image at half the size
FEATURES = 36  # of a block: 18 at each of the two sizes
ROUNDING = 1e-9  # what is left of a contrast of 0 by the rounding of sums
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # of the paired products: horizontal, vertical, both diagonals


@METRICS.register("niqe")
class NIQE(ImageMetric):
    """Natural image quality evaluator; lower is better, about 3 for photographs. It needs no HR, which it ignores.

    As in BasicSR: MATLAB's luma of 16 to 235, rounded, where the authors' code takes MATLAB's `rgb2gray`. As in both,
    blocks of 96x96 do not overlap, and what is left at the right and the bottom is not used. Flat areas have a contrast
    of exactly 0 here; there it is what rounding leaves, so their values of images with flat areas differ by up to some
    percent, also between float32 and float64. An image with fewer than two blocks that have texture has no value (nan).

    Raises:
        WeightsUnavailable: no parameters of the model of pristine photographs.
        SRError: their file is damaged.
    """

    higher_is_better = False
    least_size = 2 * BLOCK
    pretrained = ("niqe",)
    mean: Tensor
    covariance: Tensor

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__(crop_border)
        file = fetch("niqe")
        try:
            model = load_file(file)
            mean, covariance = model["mean"].view(FEATURES), model["covariance"].view(FEATURES, FEATURES)
        except Exception as error:
            raise SRError(f"{file} is damaged ({type(error).__name__}): remove it or replace it") from error
        self.register_buffer("mean", mean.double(), persistent=False)
        self.register_buffer("covariance", covariance.double(), persistent=False)
        self.convention = f"NIQE, no reference, Y (BT.601, 16-235), crop {crop_border}, 8-bit, mean over images"

    @torch.no_grad()
    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, 3 or 1, H, W) in [0, 1] to (N,)."""
        return torch.stack([self._distance(features(one[None])) for one in luma(self.prepare(sr)).round()])

    def _distance(self, found: Tensor) -> Tensor:
        """Distance of the Gaussian fitted to the features of blocks, (B, 36), from the pristine one; equation (10)."""
        whole = found[found.isfinite().all(1)]
        if len(whole) < 2:
            return found.new_tensor(torch.nan)
        difference = self.mean - found.nanmean(0)
        return (difference @ torch.linalg.pinv((self.covariance + whole.T.cov()) / 2) @ difference).sqrt()


def features(image: Tensor) -> Tensor:
    """Return the 36 features of each block of luma (1, 1, H, W) in [0, 255], float64: (B, 36); section II."""
    rows, columns = (side // BLOCK for side in image.shape[-2:])
    image = image[..., : rows * BLOCK, : columns * BLOCK]
    half = imresize(image / 255, Fraction(1, 2), bits="float") * 255
    return torch.cat([_of_blocks(normalised(image), BLOCK), _of_blocks(normalised(half), BLOCK // 2)], 1)


def normalised(image: Tensor) -> Tensor:
    """Subtract the local mean of luma (1, 1, H, W) and divide by the local deviation plus 1; equation (1)."""
    taps = torch.arange(-3, 4, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-taps.square() / (2 * (7 / 6) ** 2))
    kernel = kernel / kernel.sum()

    def local_mean(x: Tensor) -> Tensor:
        x = F.pad(x, (3, 3, 3, 3), "replicate")
        return F.conv2d(F.conv2d(x, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))

    mean = local_mean(image)
    contrast = (image - mean) / ((local_mean(image.square()) - mean.square()).abs().sqrt() + 1)
    return contrast.where(contrast.abs() > ROUNDING, 0.0)


def _of_blocks(image: Tensor, side: int) -> Tensor:
    """The 18 features of each block of (1, 1, H, W) at one size: (B, 18)."""
    blocks = image[0, 0].unfold(0, side, side).unfold(1, side, side).flatten(0, 1)  # (B, side, side)
    shape, left, right = asymmetric_gaussian(blocks.flatten(1))
    found = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        product = blocks * blocks.roll(shift, (1, 2))
        shape, left, right = asymmetric_gaussian(product.flatten(1))
        mean = (right - left) * (torch.lgamma(2 / shape) - torch.lgamma(1 / shape)).exp()  # equation (8)
        found += [shape, mean, left, right]
    return torch.stack(found, 1)


def asymmetric_gaussian(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit asymmetric generalised Gaussians by their moments: (B, n) to shape and both scales, (B,); equations (4-7).

    The shape is a multiple of 0.001 from 0.2 to 10. Where no value is below or above 0, a scale is nan.
    """
    below, above = values < 0, values > 0
    left, right = (((values * side).square().sum(1) / side.sum(1)).sqrt() for side in (below, above))
    ratio = left / right
    moments = values.abs().mean(1).square() / values.square().mean(1)
    moments = moments * (ratio**3 + 1) * (ratio + 1) / (ratio.square() + 1).square()
    shapes = 0.2 + torch.arange(9801, dtype=values.dtype, device=values.device) / 1000
    # Increases with the shape.
    table = (2 * torch.lgamma(2 / shapes) - torch.lgamma(1 / shapes) - torch.lgamma(3 / shapes)).exp()
    upper = torch.searchsorted(table, moments.nan_to_num(0.0)).clamp(1, len(table) - 1)
    lower = upper - 1
    nearest = torch.where(moments - table[lower] <= table[upper] - moments, lower, upper)
    shape = shapes[torch.where(moments.isfinite(), nearest, 0)]  # the first where nothing can be fitted, as MATLAB's
    scale = ((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2).exp()
    return shape, left * scale, right * scale
