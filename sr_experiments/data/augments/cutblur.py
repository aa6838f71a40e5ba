"""CutBlur (Yoo et al. 2020, arXiv 2004.00448): part of the input needs no restoration."""

from fractions import Fraction

import torch
from torch import Tensor

from sr_experiments.config.constraints import Share
from sr_experiments.data.augments import AUGMENTS, Augment, Pair, draw
from sr_experiments.data.resize import imresize


@AUGMENTS.register("cutblur")
class CutBlur(Augment):
    """Replace a box of LR, or everything outside it, by clean pixels, so that a network learns where to restore.

    Clean pixels are those of HR at scale 1, as in the paper, whose LR has been enlarged to HR's size; at other scales,
    HR is reduced by MATLAB's bicubic `imresize`. HR is unchanged. Where SR's target is sharpened HR, it is given as HR.

    Args:
        share: mean side of the box, as a fraction of the image's.
    """

    def __init__(self, share: Share = 0.7) -> None:
        self.share = share

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator) -> Pair:
        """Clean the box, or everything outside it."""
        box = draw.place(lr, *draw.size(lr, draw.share_of_sides(self.share, rng)), rng)
        inside = draw.uniform(0, 1, rng) > 0.5
        factor = Fraction(1, draw.scale_of(lr, hr))
        small = imresize(hr.flatten(0, 1), factor, self.bits, self.phase).view_as(lr).to(lr)
        base, part = (lr, small) if inside else (small, lr)
        new_lr = base.clone()
        box.of(new_lr).copy_(box.of(part))
        return new_lr, hr
