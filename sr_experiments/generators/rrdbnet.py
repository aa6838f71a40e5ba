"""RRDBNet, ESRGAN's generator (Wang et al. 2018, arXiv 1809.00219; basicsr/archs/rrdbnet_arch.py)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.generator import TwoPartGenerator
from sr_experiments.generators.initialisation import bilinear_smoothing_, identity_, kaiming_scaled_, scale_outputs_
from sr_experiments.generators.padding import crop, pad_to_multiple


@SR_NETS.register("rrdbnet")
@GENERATORS.register("rrdbnet", small={"features": 8, "blocks": 1, "growth": 4})
class RRDBNet(TwoPartGenerator):
    """Residual-in-residual dense blocks at LR size, then nearest-neighbour upsampling with convolutions.

    Layers and state dict names are BasicSR's, and so is the initialisation of the blocks. The first features of the
    other layers are initialised to pass the image through, so that the network begins close to a bilinear
    upsampling; from a random initialisation it takes hundreds of steps to learn that.

    For scales 2 and 1 a pixel-unshuffle comes first, as in Real-ESRGAN; an input whose sides are not multiples of its
    factor is padded and the output cropped.

    Args:
        scale: 1, 2 or 4.
        features: channels between the blocks.
        blocks: number of residual-in-residual dense blocks.
        growth: channels added by each convolution of a dense block.
        extra_channels: further input channels behind the image's: the previous frame, as the SR net of FRVSR.
    """

    scales = (1, 2, 4)

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        features: Features = 64,
        blocks: Blocks = 23,
        growth: Features = 32,
        extra_channels: int = 0,
    ) -> None:
        super().__init__(scale, channels)
        self.fold = self.size_multiple = 4 // scale
        self.conv_first = nn.Conv2d((channels + extra_channels) * self.fold**2, features, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up2 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, channels, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)
        image = min(channels, features)  # features that begin as the image
        identity_(self.conv_first, image, fold=self.fold**2)
        scale_outputs_(self.conv_body, image, 0)  # the residual branch adds nothing to them
        bilinear_smoothing_(self.conv_up1, image)
        bilinear_smoothing_(self.conv_up2, image)
        identity_(self.conv_hr, image)
        identity_(self.conv_last, image, keep=0.02)

    def extract_features(self, lr: Tensor) -> Tensor:
        """First part: (N, C + extra_channels, H, W) to (N, features, H / fold, W / fold)."""
        if self.fold > 1:
            lr = F.pixel_unshuffle(pad_to_multiple(lr, self.fold), self.fold)  # (N, C * fold^2, H / fold, W / fold)
        x = self.conv_first(lr)  # (N, features, H / fold, W / fold)
        return x + self.conv_body(self.body(x))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Second part: (N, features, H / fold, W / fold), and the input, to (N, C, scale * H, scale * W)."""
        height, width = lr.shape[-2:]
        x = self.lrelu(self.conv_up1(F.interpolate(features, scale_factor=2, mode="nearest")))
        x = self.lrelu(self.conv_up2(F.interpolate(x, scale_factor=2, mode="nearest")))
        x = self.conv_last(self.lrelu(self.conv_hr(x)))  # four times the features' size: scale * H, padded
        return crop(x, height * self.scale, width * self.scale) if self.fold > 1 else x

    def optimise_for_cpu(self) -> None:
        """Replace the dense blocks by ones that concatenate nothing."""
        for rrdb in self.body.children():
            for name, block in rrdb.named_children():
                if isinstance(block, ResidualDenseBlock):
                    setattr(rrdb, name, InPlaceDenseBlock(block))


class RRDB(nn.Module):
    """Three dense blocks in a residual branch scaled by 0.2."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(features, growth)
        self.rdb2 = ResidualDenseBlock(features, growth)
        self.rdb3 = ResidualDenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of the input and all previous outputs, in a residual branch scaled by 0.2."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(features + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(features + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(features + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)
        kaiming_scaled_(self, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        x1 = self.lrelu(self.conv1(x))
        x2 = self.lrelu(self.conv2(torch.cat((x, x1), 1)))
        x3 = self.lrelu(self.conv3(torch.cat((x, x1, x2), 1)))
        x4 = self.lrelu(self.conv4(torch.cat((x, x1, x2, x3), 1)))
        return x + 0.2 * self.conv5(torch.cat((x, x1, x2, x3, x4), 1))


class InPlaceDenseBlock(nn.Module):
    """A `ResidualDenseBlock` for inference whose layers write side by side into one tensor.

    Under autocast the sums between blocks stay in float32: over many blocks, bf16 would round each of them.
    """

    def __init__(self, block: ResidualDenseBlock) -> None:
        super().__init__()
        self.first = nn.ModuleList((block.conv1, block.conv2, block.conv3, block.conv4))
        self.last = block.conv5
        self.lrelu = block.lrelu

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape, in float32."""
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        n, used, height, width = x.shape
        dense = torch.empty(  # (N, features + 4 * growth, H, W)
            (n, self.last.in_channels, height, width), dtype=kind, device=x.device, memory_format=torch.channels_last
        )
        dense[:, :used] = x
        for layer in self.first:
            new = self.lrelu(layer(dense[:, :used]))  # (N, growth, H, W)
            dense[:, used : used + new.shape[1]] = new
            used += new.shape[1]
        return torch.add(x.float(), self.last(dense), alpha=0.2)
