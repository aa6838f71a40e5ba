"""Multi-scale PatchGAN (pix2pixHD, Wang et al. 2018, arXiv 1711.11585): patches of several sizes."""

from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Features
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.discriminators.normalisation import Norm
from sr_experiments.discriminators.patch import PatchDiscriminator
from sr_experiments.generators.padding import replicate_pad


@DISCRIMINATORS.register("multiscale_patch", small={"features": 4})
class MultiScalePatchDiscriminator(nn.Module):
    """Several PatchGANs with separate weights, each at half the resolution of the previous one.

    The loss is the mean over the scales. Images that are too small are padded with their edge pixels.

    Args:
        channels: number of image channels.
        features: channels after the first convolution of each PatchGAN; later layers have up to eight times as many.
        layers: number of convolutions with stride 2; 3 give patches of 70x70, 140x140 and 280x280.
        scales: number of PatchGANs.
        norm: "batch", "instance" or "none" (for wgan_gp).
    """

    def __init__(
        self,
        channels: int = 3,
        features: Features = 64,
        layers: Annotated[int, Ge(1), Le(8)] = 3,
        scales: Annotated[int, Ge(1), Le(6)] = 3,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(channels, features, layers, norm) for _ in range(scales))
        self.smallest = 3 * 2**layers

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) in [0, 1], any size, to the logits of each scale, (N, 1, h, w), finest scale first."""
        logits = []
        for number, scale in enumerate(self.scales):
            if number:
                image = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
            bottom, right = (max(0, self.smallest - side) for side in image.shape[-2:])
            image = replicate_pad(image, 0, right, 0, bottom) if bottom or right else image
            logits.append(scale(image))
        return logits
