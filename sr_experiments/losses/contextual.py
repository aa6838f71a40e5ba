"""A perceptual loss without positions: features are compared with the most similar ones, wherever they are."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from sr_experiments.config.constraints import Positive, Weight
from sr_experiments.losses import LOSSES
from sr_experiments.losses.perceptual import VGGLoss


@LOSSES.register("contextual")
class ContextualLoss(VGGLoss):
    """-log of the contextual similarity of VGG19 features (Mechrez et al. 2018, arXiv 1803.02077 and 1803.04626).

    It compares the distributions of features, so SR that is shifted against HR is not punished for it. Time and memory
    grow with the square of the number of positions: a crop of 128 has 1024 at conv3_4, one of 256 has 4096.

    Args:
        layers: weights by layer, as for vgg19.
        bandwidth: bandwidth of the kernel that turns distances into similarities; smaller is stricter.

    Raises:
        SRError: unknown layer.
        WeightsUnavailable: no VGG19 weights.
    """

    def __init__(self, layers: Mapping[str, Weight | None] | None = None, bandwidth: Positive = 0.1) -> None:
        super().__init__(layers or {"conv3_4": 1.0})
        self.criterion = lambda ours, targets: contextual_loss(ours, targets, bandwidth)

    @classmethod
    def substitute(cls, arguments: Mapping[str, object]) -> None:
        """Nothing takes its place: the term is left out."""
        return None


def contextual_loss(ours: Tensor, targets: Tensor, bandwidth: float) -> Tensor:
    """-log of the contextual similarity of features (N, C, H, W), averaged over N.

    With the cosine distance d of features i of ours and j of the target, centred on the target's mean: w = exp((1 - d /
    (min_j d + 1e-5)) / bandwidth), divided by its sum over j; the similarity is the mean over j of the largest over i.
    """
    losses = []
    with torch.autocast(ours.device.type, enabled=False):  # in bf16 the distances of features that are alike are 0
        for x, y in zip(ours.flatten(2), targets.flatten(2), strict=True):  # one image at a time: (C, H * W)
            mean = y.mean(1, keepdim=True)
            distance = 1 - F.normalize(x - mean, dim=0).T @ F.normalize(y - mean, dim=0)  # (i, j)
            relative = distance / (distance.amin(1, keepdim=True) + 1e-5)
            share = F.softmax((1 - relative) / bandwidth, dim=1)
            losses.append(-share.amax(0).mean().log())
    return torch.stack(losses).mean()
