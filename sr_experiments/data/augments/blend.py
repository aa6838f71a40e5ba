"""Blend with a colour (Yoo et al. 2020, arXiv 2004.00448)."""

import torch
from torch import Tensor

from sr_experiments.config.constraints import Share
from sr_experiments.data.augments import AUGMENTS, Augment, Pair, draw


@AUGMENTS.register("blend")
class Blend(Augment):
    """Blend each image with a random colour, which changes its contrast and tint.

    Args:
        least: minimum weight of the image; a weight between this and 1 is drawn for each batch.
    """

    def __init__(self, least: Share = 0.6) -> None:
        self.least = least

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator) -> Pair:
        """Blend clips."""
        colour = torch.rand(len(lr), 1, lr.shape[2], 1, 1, generator=rng).to(lr)
        weight = draw.uniform(self.least, 1, rng)
        return colour.lerp(lr, weight), colour.lerp(hr, weight)
