"""Mixup (Zhang et al. 2018, arXiv 1710.09412) for images, as in Yoo et al. 2020 (arXiv 2004.00448)."""

import numpy as np
import torch
from torch import Tensor

from sr_experiments.config.constraints import Positive
from sr_experiments.data.augments import AUGMENTS, Augment, Pair, draw


@AUGMENTS.register("mixup")
class Mixup(Augment):
    """Weighted mean of each image and another image of the batch.

    Args:
        alpha: parameter of Beta(alpha, alpha), from which the weight is drawn; above 1, mostly near one half.
    """

    needs_others = True

    def __init__(self, alpha: Positive = 1.2) -> None:
        self.alpha = alpha

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator) -> Pair:
        """Mix clips, with one weight for the batch."""
        other = draw.others(lr, rng)
        seed = int(torch.randint(2**62, (), generator=rng))
        weight = float(np.random.default_rng(seed).beta(self.alpha, self.alpha))  # torch's takes no generator
        return lr.lerp(lr[other], 1 - weight), hr.lerp(hr[other], 1 - weight)
