"""ResizeMix (Qin et al. 2020, arXiv 2012.11101) for images."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from sr_experiments.config.constraints import Interval
from sr_experiments.data.augments import AUGMENTS, Augment, Pair, draw
from sr_experiments.data.resize import imresize


@AUGMENTS.register("resizemix")
class ResizeMix(Augment):
    """Replace a box of each image by another whole image of the batch, reduced to its size.

    Args:
        share: range of the side of the box, as a fraction of the image's.
    """

    needs_others = True

    def __init__(self, share: Interval[Annotated[float, Ge(0), Le(1)]] = (0.1, 0.8)) -> None:
        self.share = share

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator) -> Pair:
        """Put small clips into clips."""
        other = draw.others(lr, rng)
        low, high = self.share
        box = draw.place(lr, *draw.size(lr, draw.uniform(low, high, rng)), rng)
        new_lr, new_hr = lr.clone(), hr.clone()
        scale = draw.scale_of(lr, hr)
        for old, new, factor in ((lr, new_lr, 1), (hr, new_hr, scale)):
            part = box.of(new, factor)
            part.copy_(smaller(old[other], (part.shape[-2], part.shape[-1]), self.phase))
        return new_lr, new_hr


def smaller(clips: Tensor, size: tuple[int, int], phase: str) -> Tensor:
    """Reduce clips (N, T, C, H, W) in [0, 1] to a size, with an antialiased bicubic kernel.

    The phase is that of LR pixels, see `Degradation`. With "corner" the first pixels coincide: only so LR stays on HR.
    """
    frames = clips.flatten(0, 1)
    if phase == "corner":
        frames = imresize(frames, size, "float", phase)
    else:
        frames = F.interpolate(frames, size, mode="bicubic", antialias=True, align_corners=False)
    return frames.clamp(0, 1).unflatten(0, clips.shape[:2])
