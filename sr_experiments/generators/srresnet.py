"""SRResNet (Ledig et al. 2017, arXiv 1609.04802, figure 4)."""

import torch
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.generator import TwoPartGenerator
from sr_experiments.generators.initialisation import bilinear_shuffle_, identity_
from sr_experiments.generators.prelu import PReLU


@SR_NETS.register("srresnet")
@GENERATORS.register("srresnet", small={"features": 8, "blocks": 1})
class SRResNet(TwoPartGenerator):
    """Residual blocks with batch norm at LR size, then sub-pixel upsampling.

    The first features are initialised to pass the image through, so that the network begins close to a bilinear
    upsampling; from a random initialisation it takes hundreds of steps to learn that.

    Args:
        scale: 2, 3 or 4.
        features: channels of the hidden layers.
        blocks: number of residual blocks.
        extra_channels: further input channels behind the image's: the previous frame, as the SR net of FRVSR.
    """

    scales = (2, 3, 4)

    def __init__(
        self, scale: int = 4, channels: int = 3, features: Features = 64, blocks: Blocks = 16, extra_channels: int = 0
    ) -> None:
        super().__init__(scale, channels)
        image = min(channels, features)  # features that begin as the image
        first = nn.Conv2d(channels + extra_channels, features, 9, padding=4)
        norm = nn.BatchNorm2d(features)
        steps = [2, 2] if scale == 4 else [scale]
        self.conv_in = nn.Sequential(first, PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.conv_body = nn.Sequential(nn.Conv2d(features, features, 3, padding=1), norm)
        self.upsampling = nn.Sequential(*(Upsampling(features, step, image) for step in steps))
        self.conv_out = nn.Conv2d(features, channels, 9, padding=4)
        identity_(first, image)
        with torch.no_grad():
            norm.weight[:image] = 0  # the residual branch adds nothing to them
        identity_(self.conv_out, image, keep=0.02)

    def extract_features(self, lr: Tensor) -> Tensor:
        """First part: (N, C + extra_channels, H, W) to (N, features, H, W)."""
        shallow = self.conv_in(lr)
        return shallow + self.conv_body(self.blocks(shallow))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Second part: (N, features, H, W), and the input, to (N, C, scale * H, scale * W)."""
        return self.conv_out(self.upsampling(features))


class ResidualBlock(nn.Module):
    """conv-BN-PReLU-conv-BN and a skip connection."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
            PReLU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        return x + self.layers(x)


class Upsampling(nn.Sequential):
    """Sub-pixel convolution: (N, features, H, W) to (N, features, step * H, step * W).

    Args:
        features: channels of the input and the output.
        step: upsampling factor.
        image: number of features that begin as their bilinear upsampling.
    """

    def __init__(self, features: int, step: int, image: int) -> None:
        conv = nn.Conv2d(features, features * step**2, 3, padding=1)
        bilinear_shuffle_(conv, image, step)
        super().__init__(conv, nn.PixelShuffle(step), PReLU())
