"""MSRResNet: SRResNet without batch norm, as BasicSR trains it (basicsr/archs/srresnet_arch.py)."""

import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.generator import TwoPartGenerator
from sr_experiments.generators.initialisation import kaiming_scaled_, zero_mean_


@SR_NETS.register("msrresnet")
@GENERATORS.register("msrresnet", small={"features": 8, "blocks": 1})
class MSRResNet(TwoPartGenerator):
    """Residual blocks at LR size and sub-pixel upsampling, plus the bilinearly upscaled input.

    Layers and state dict names are BasicSR's, and so is the initialisation of the residual branches. The other layers
    begin ten times larger than there, the first one with zero-mean kernels, the last one small.

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
        self.conv_first = nn.Conv2d(channels + extra_channels, features, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        step = 2 if scale == 4 else scale
        self.upconv1 = nn.Conv2d(features, features * step**2, 3, padding=1)
        if scale == 4:
            self.upconv2 = nn.Conv2d(features, features * 4, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(step)
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, channels, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.1, inplace=True)
        kaiming_scaled_(self)
        kaiming_scaled_(self.body, 0.1)
        kaiming_scaled_(self.conv_last, 0.01)
        zero_mean_(self.conv_first.weight)

    def extract_features(self, lr: Tensor) -> Tensor:
        """First part: (N, C + extra_channels, H, W) to (N, features, H, W)."""
        return self.body(self.lrelu(self.conv_first(lr)))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Second part: (N, features, H, W), and the input, to (N, C, scale * H, scale * W)."""
        x = self.lrelu(self.pixel_shuffle(self.upconv1(features)))  # (N, features, step * H, step * W)
        if self.scale == 4:
            x = self.lrelu(self.pixel_shuffle(self.upconv2(x)))
        x = self.conv_last(self.lrelu(self.conv_hr(x)))  # (N, C, scale * H, scale * W)
        base = lr[:, : self.channels]
        return x + F.interpolate(base, scale_factor=self.scale, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """conv-ReLU-conv and a skip connection."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        return x + self.conv2(self.relu(self.conv1(x)))
