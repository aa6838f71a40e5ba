"""RRDBNet, ESRGAN's generator (Wang et al. 2018, arXiv 1809.00219; basicsr/archs/rrdbnet_arch.py)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.initialisation import carry_image, kaiming_scaled, shrink_outputs, smooth_image
from sr_experiments.generators.padding import whole_blocks, without_padding


@SR_NETS.register("rrdbnet")
@GENERATORS.register("rrdbnet", small={"features": 8, "blocks": 1, "growth": 4})
class RRDBNet(nn.Module):
    """Residual-in-residual dense blocks at LR size, then nearest-neighbour upsampling with convolutions.

    Layers and state dict names are BasicSR's, and the blocks begin as there. Around them the first features carry the
    image, so that the network begins as little more than a bilinear enlargement: begun at random it takes hundreds of
    steps to learn that. Scales 2 and 1 fold the input's pixels into
    channels first (pixel-unshuffle), as Real-ESRGAN does; an input that doesn't divide is padded and the
    output cropped.

    Args:
        scale: 1, 2 or 4.
        channels: of the input and the output image.
        features: channels between the blocks.
        blocks: residual-in-residual dense blocks.
        growth: channels that each convolution of a dense block adds.
        extra_channels: of the input, behind the image's: the previous frame, where this is a part of FRVSR.

    Raises:
        SRError: another scale.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        features: Features = 64,
        blocks: Blocks = 23,
        growth: Features = 32,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        if scale not in (1, 2, 4):
            raise SRError(f"rrdbnet can't do scale={scale}: choose 2 or 4, or model=msrresnet for 3")
        self.scale = scale
        self.channels = channels
        self.fold = 4 // scale
        self.conv_first = nn.Conv2d((channels + extra_channels) * self.fold**2, features, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up2 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, channels, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)
        self._initialise(min(channels, features))

    def _initialise(self, carried: int) -> None:
        carry_image(self.conv_first, carried, self.fold**2)
        shrink_outputs(self.conv_body, carried, 0)
        for layer in (self.conv_up1, self.conv_up2):
            smooth_image(layer, carried)
        carry_image(self.conv_hr, carried)
        carry_image(self.conv_last, carried, rest=0.02)

    def forward(self, lr: Tensor) -> Tensor:
        """(N, C + extra_channels, H, W), the image in [0, 1], to (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract_features(lr), lr)

    def extract_features(self, lr: Tensor) -> Tensor:
        """The part at LR size: (N, C + extra_channels, H, W) to (N, features, H / fold, W / fold)."""
        if self.fold > 1:
            lr = F.pixel_unshuffle(whole_blocks(lr, self.fold), self.fold)  # (N, C * fold^2, H / fold, W / fold)
        x = self.conv_first(lr)
        return x + self.conv_body(self.body(x))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """The part that enlarges: (N, features, H / fold, W / fold), and the input, to (N, C, scale * H, scale * W)."""
        height, width = lr.shape[-2:]
        x = self.lrelu(self.conv_up1(F.interpolate(features, scale_factor=2, mode="nearest")))
        x = self.lrelu(self.conv_up2(F.interpolate(x, scale_factor=2, mode="nearest")))
        x = self.conv_last(self.lrelu(self.conv_hr(x)))
        return without_padding(x, height * self.scale, width * self.scale) if self.fold > 1 else x


class RRDB(nn.Module):
    """Three dense blocks in a residual branch scaled by 0.2."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(features, growth)
        self.rdb2 = ResidualDenseBlock(features, growth)
        self.rdb3 = ResidualDenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same."""
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of all that came before it, in a residual branch scaled by 0.2."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(features + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(features + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(features + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)
        kaiming_scaled(self, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same."""
        x1 = self.lrelu(self.conv1(x))
        x2 = self.lrelu(self.conv2(torch.cat((x, x1), 1)))
        x3 = self.lrelu(self.conv3(torch.cat((x, x1, x2), 1)))
        x4 = self.lrelu(self.conv4(torch.cat((x, x1, x2, x3), 1)))
        return x + 0.2 * self.conv5(torch.cat((x, x1, x2, x3, x4), 1))
