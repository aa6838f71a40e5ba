"""Projected GAN (Sauer et al. 2021, arXiv 2111.01007): judges the features of a pretrained network."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sr_experiments.checkpoints.backbones import MEAN, STD, pretrained_features
from sr_experiments.config.constraints import Features
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError

# Of VGG16, after ReLU: index of the next layer, channels, and root mean square over 64x64 crops of photographs.
FEATURES = ((9, 128, 2.3), (16, 256, 3.4), (23, 512, 1.9))  # relu2_2, relu3_3, relu4_3


@DISCRIMINATORS.register("projected", small={"features": 4})
class ProjectedDiscriminator(nn.Module):
    """Small discriminators with spectral norm on fixed random mixtures of VGG16's features, one per scale.

    The mixtures are across channels and, from coarse to fine, across scales, so that no discriminator can settle on a
    few features. Other than in the paper, the features are VGG16's, relu2_2 to relu4_3, not EfficientNet's, and each
    scale has logits per patch. VGG16 is never trained and is not part of checkpoints; the mixtures are.

    Args:
        channels: of the image, 1 or 3.
        features: channels of each scale's mixture and of its discriminator.

    Raises:
        SRError: other channels.
        WeightsUnavailable: no VGG16 weights.
    """

    compiles = False  # for its spectral norm, as `unet`
    pretrained = ("vgg16",)
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int = 3, features: Features = 64) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise SRError(f"discriminator projected takes grey and RGB images, not {channels} channels: choose another")
        trunk = pretrained_features("vgg16")
        for layer in trunk:
            # As buffers, neither optimisers nor penalties see them.
            for name, weight in list(layer.named_parameters()):
                delattr(layer, name)
                layer.register_buffer(name, weight.detach(), persistent=False)
        ends = [0, *(end for end, _, _ in FEATURES)]
        self.stages = nn.ModuleList(trunk[start:end] for start, end in pairwise(ends))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        for scale, (_, width, rms) in enumerate(FEATURES):
            self.register_buffer(f"channel_mixture{scale}", torch.randn(features, width, 1, 1) / (rms * width**0.5))
            self.register_buffer(f"scale_mixture{scale}", torch.randn(features, features, 3, 3) / (9 * features) ** 0.5)
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(features, features, 3, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(features, features, 4, 2, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(features, 1, 3, padding=1)),
            )
            for _ in FEATURES
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) in [0, 1], H and W at least 16, to logits (N, 1, h, w) of three scales, coarse to fine."""
        x = (image.expand(-1, 3, -1, -1) - self.mean) / self.std
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        mixed, logits = None, []
        for scale in reversed(range(len(found))):
            y = F.conv2d(found[scale], self.get_buffer(f"channel_mixture{scale}"))
            if mixed is not None:
                y = (y + F.interpolate(mixed, size=y.shape[-2:], mode="bilinear")) / 2**0.5
            mixed = F.conv2d(y, self.get_buffer(f"scale_mixture{scale}"), padding=1)
            logits.append(self.heads[scale](mixed))
        return logits
