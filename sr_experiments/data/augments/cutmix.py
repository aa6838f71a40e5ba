"""CutMix (Yun et al. 2019, arXiv 1905.04899) for images, as in Yoo et al. 2020 (arXiv 2004.00448)."""

import torch
from torch import Tensor

from sr_experiments.config.constraints import Share
from sr_experiments.data.augments import AUGMENTS, Augment, Pair, draw


@AUGMENTS.register("cutmix")
class CutMix(Augment):
    """Replace a box of each image by a box of another image of the batch, from another position.

    Args:
        share: mean side of the box, as a fraction of the image's.
    """

    needs_others = True

    def __init__(self, share: Share = 0.7) -> None:
        self.share = share

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator) -> Pair:
        """Exchange boxes of clips."""
        other = draw.others(lr, rng)
        size = draw.size(lr, draw.share_of_sides(self.share, rng))
        target, source = (draw.place(lr, *size, rng) for _ in range(2))
        new_lr, new_hr = lr.clone(), hr.clone()
        scale = draw.scale_of(lr, hr)
        target.of(new_lr).copy_(source.of(lr)[other])
        target.of(new_hr, scale).copy_(source.of(hr, scale)[other])
        return new_lr, new_hr
