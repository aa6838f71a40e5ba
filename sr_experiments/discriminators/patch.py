"""PatchGAN (Isola et al. 2017, arXiv 1611.07004): a logit for each overlapping 70x70 patch."""

from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Features
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.discriminators.normalisation import Norm, normalised_conv


@DISCRIMINATORS.register("patch", small={"features": 4})
class PatchDiscriminator(nn.Module):
    """The n-layer discriminator of pix2pix.

    Args:
        channels: of the image.
        features: channels after the first convolution, rising to at most eight times as many.
        layers: number of convolutions with stride 2; 3 give patches of 70x70.
        norm: "batch", "instance" or "none" (for wgan_gp).
    """

    def __init__(
        self, channels: int = 3, features: Features = 64, layers: Annotated[int, Ge(1), Le(8)] = 3, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        stack: list[nn.Module] = [nn.Conv2d(channels, features, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = features
        for level in range(1, layers + 1):
            wider = min(features * 2**level, features * 8)
            stack += normalised_conv(width, wider, 4, 2 if level < layers else 1, norm)
            width = wider
        self.layers = nn.Sequential(*stack, nn.Conv2d(width, 1, 4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], H and W at least 3 * 2^layers, to logits (N, 1, h, w)."""
        return self.layers(image)
