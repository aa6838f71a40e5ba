"""Permutation of the colour channels (Yoo et al. 2020, arXiv 2004.00448)."""

import torch
from torch import Tensor

from sr_experiments.data.augments import AUGMENTS, Augment, Pair


@AUGMENTS.register("rgb")
class PermuteChannels(Augment):
    """Permute red, green and blue, in the same way for all images of a batch; grey images are unchanged."""

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator) -> Pair:
        """Permute the channels of clips."""
        order = torch.randperm(lr.shape[2], generator=rng).to(lr.device)
        return lr[:, :, order], hr[:, :, order]
