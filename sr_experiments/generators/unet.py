"""NAFNet, a U-Net of blocks without activation functions (Chen et al. 2022, arXiv 2204.04676; megvii-research/NAFNet).

At scale 1 it restores an image, as published. For larger scales it works at LR size and ends in a pixel shuffle.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features, Levels
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.initialisation import scale_outputs_
from sr_experiments.generators.padding import crop, pad_to_multiple

FASTEST = 1e4  # the slowest of a time embedding's frequencies is that of the fastest divided by it
EPSILON = 1e-6  # of layer normalisation
TIME_STEPS = 1000  # the embedding's unit of time, as in diffusion models


class NAFNet(Generator):
    """Layers of `UNet` and `VelocityUNet`; names in the state dict are those of NAFNet's released files.

    Args:
        scale: pixels that come out of each pixel, along each side.
        channels: of the image.
        features: channels at full size, doubled at each level.
        encoder_blocks: number of blocks at each level of the encoder; each level has half the size of the one before.
        middle_blocks: number of blocks at the smallest size.
        decoder_blocks: blocks at each level of the decoder, the smallest size first.
        time_features: channels of the time embedding that the blocks take; 0 for none.

    Raises:
        SRError: the decoder has other levels than the encoder.
    """

    whole_image = True

    def __init__(
        self,
        scale: int,
        channels: int,
        features: int,
        encoder_blocks: Sequence[int],
        middle_blocks: int,
        decoder_blocks: Sequence[int],
        time_features: int = 0,
    ) -> None:
        super().__init__(scale, channels)
        if len(encoder_blocks) != len(decoder_blocks):
            raise SRError(
                f"encoder_blocks={list(encoder_blocks)} and decoder_blocks={list(decoder_blocks)} of a U-Net need as "
                "many levels each"
            )
        self.size_multiple = 2 ** len(encoder_blocks)

        def blocks(count: int, width: int) -> nn.Sequential:
            return nn.Sequential(*(NAFBlock(width, time_features) for _ in range(count)))

        self.intro = nn.Conv2d(channels, features, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        for count in encoder_blocks:
            self.encoders.append(blocks(count, features))
            self.downs.append(nn.Conv2d(features, 2 * features, 2, stride=2))
            features *= 2
        self.middle_blks = blocks(middle_blocks, features)
        self.decoders, self.ups = nn.ModuleList(), nn.ModuleList()
        for count in decoder_blocks:
            self.ups.append(nn.Sequential(nn.Conv2d(features, 2 * features, 1, bias=False), nn.PixelShuffle(2)))
            features //= 2
            self.decoders.append(blocks(count, features))
        self.ending = nn.Conv2d(features, channels * scale**2, 3, padding=1)
        scale_outputs_(self.ending, len(self.ending.weight), 0.1)  # the output begins close to the enlarged input

    def run_layers(self, image: Tensor, time: Tensor | None = None) -> Tensor:
        """Image (N, C, H, W), and time features (N, time_features), to (N, scale^2 * C, H, W).

        As in NAFNet, zeros below and on the right make H and W multiples of `size_multiple`.
        """
        height, width = image.shape[-2:]
        x = self.intro(pad_to_multiple(image, self.size_multiple, mode="constant"))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = _through(encoder, x, time)  # (N, 2^level * features, H / 2^level, W / 2^level)
            skips.append(x)
            x = down(x)
        x = _through(self.middle_blks, x, time)
        for decoder, up in zip(self.decoders, self.ups, strict=True):
            x = _through(decoder, up(x) + skips.pop(), time)
        return crop(self.ending(x), height, width)


@GENERATORS.register(
    "unet", small={"features": 8, "encoder_blocks": [1, 1], "middle_blocks": 1, "decoder_blocks": [1, 1]}
)
class UNet(NAFNet):
    """NAFNet, for restoration at scale 1; else the same at LR size, a pixel shuffle and the upscaled input.

    The defaults are NAFNet-SIDD-width32: 29,159,715 parameters at scale 1. The published networks for deblurring have
    encoder_blocks=[1,1,1,28], middle_blocks=1, decoder_blocks=[1,1,1,1]; the larger ones of both have features=64.

    The channel attention averages over the whole image, so a part of it alone gives slightly other pixels.

    Args:
        scale: upsampling factor, 1 or more.
        features: channels at full size, doubled at each level.
        encoder_blocks: number of blocks at each level of the encoder; each level has half the size of the one before.
        middle_blocks: number of blocks at the smallest size.
        decoder_blocks: number of blocks at each level of the decoder, from the smallest size; as many levels as in the
            encoder.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        features: Features = 32,
        encoder_blocks: Levels = (2, 2, 4, 8),
        middle_blocks: Blocks = 12,
        decoder_blocks: Levels = (2, 2, 2, 2),
    ) -> None:
        super().__init__(scale, channels, features, encoder_blocks, middle_blocks, decoder_blocks)
        self.upsampler = nn.PixelShuffle(scale)

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) in [0, 1] to SR (N, C, scale * H, scale * W)."""
        details = self.upsampler(self.run_layers(lr))  # (N, C, scale * H, scale * W)
        if self.scale == 1:
            return lr + details
        return details + F.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)


class VelocityUNet(NAFNet):
    """NAFNet that also depends on a time: the velocity of a flow between images at scale 1.

    Each block scales and shifts its normalised features by the time, as Refusion's conditional NAFNet does (Luo et al.
    2023, arXiv 2304.08291). The scales and shifts begin as none. The image is not added to the output.

    Args:
        channels: of the image and of the velocity.
        features: channels at full size, doubled at each level.
        encoder_blocks: number of blocks at each level of the encoder; each level has half the size of the one before.
        middle_blocks: number of blocks at the smallest size.
        decoder_blocks: number of blocks at each level of the decoder, from the smallest size; as many levels as in the
            encoder.
    """

    def __init__(
        self,
        channels: int = 3,
        features: Features = 32,
        encoder_blocks: Levels = (2, 2, 4, 8),
        middle_blocks: Blocks = 12,
        decoder_blocks: Levels = (2, 2, 2, 2),
    ) -> None:
        time_features = 4 * features
        super().__init__(1, channels, features, encoder_blocks, middle_blocks, decoder_blocks, time_features)
        self.time_embedding = nn.Sequential(
            TimeEmbedding(2 * features),
            nn.Linear(2 * features, time_features),
            nn.SiLU(),
            nn.Linear(time_features, time_features),
            nn.SiLU(),
        )

    def forward(self, image: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        """Image (N, C, H, W) at a time (N,) in [0, 1] to its velocity (N, C, H, W)."""
        return self.run_layers(image, self.time_embedding(time))


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time at geometrically spaced frequencies (Vaswani et al. 2017, section 3.5)."""

    frequencies: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        octaves = torch.arange(features // 2) / max(features // 2 - 1, 1)
        self.register_buffer("frequencies", TIME_STEPS * torch.exp(-math.log(FASTEST) * octaves), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """Time (N,) in [0, 1] to (N, features)."""
        angles = time[:, None] * self.frequencies
        return torch.cat((angles.sin(), angles.cos()), 1)


class NAFBlock(nn.Module):
    """Depthwise convolution with a gate and channel attention, then two 1x1 convolutions with a gate (figure 3d).

    The residual scales beta and gamma begin as zero: the block begins as the identity.
    """

    def __init__(self, features: int, time_features: int = 0) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(features)
        self.conv1 = nn.Conv2d(features, 2 * features, 1)
        self.conv2 = nn.Conv2d(2 * features, 2 * features, 3, padding=1, groups=2 * features)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(features, features, 1))
        self.conv3 = nn.Conv2d(features, features, 1)
        self.norm2 = LayerNorm2d(features)
        self.conv4 = nn.Conv2d(features, 2 * features, 1)
        self.conv5 = nn.Conv2d(features, features, 1)
        self.beta = nn.Parameter(torch.zeros(1, features, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, features, 1, 1))
        if time_features:
            self.time = nn.Linear(time_features, 4 * features)
            nn.init.zeros_(self.time.weight)
            nn.init.zeros_(self.time.bias)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """(N, features, H, W), and the time's (N, time_features), to (N, features, H, W)."""
        y, z_modulation = self.norm1(x), None
        if time is not None:
            modulation, z_modulation = self.time(time)[..., None, None].chunk(2, 1)  # (N, 2 * features, 1, 1) each
            y = _modulated(y, modulation)
        y = simple_gate(self.conv2(self.conv1(y)))
        y = x + self.beta * self.conv3(y * self.sca(y))
        z = self.norm2(y)
        if z_modulation is not None:
            z = _modulated(z, z_modulation)
        return y + self.gamma * self.conv5(simple_gate(self.conv4(z)))


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        if not torch.compiler.is_exporting():
            pixels = x.permute(0, 2, 3, 1)  # (N, H, W, features)
            return F.layer_norm(pixels, self.weight.shape, self.weight, self.bias, EPSILON).permute(0, 3, 1, 2)
        # The same by operations that torch.export follows for every size.
        variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)  # (N, 1, H, W)
        normalised = (x - mean) * torch.rsqrt(variance + EPSILON)
        return self.weight[:, None, None] * normalised + self.bias[:, None, None]


def simple_gate(x: Tensor) -> Tensor:
    """Multiply the first half of the channels by the second: (N, 2 * F, H, W) to (N, F, H, W)."""
    first, second = x.chunk(2, 1)
    return first * second


def _modulated(x: Tensor, modulation: Tensor) -> Tensor:
    """Scale and shift (N, F, H, W) by the halves of (N, 2 * F, 1, 1)."""
    scale, shift = modulation.chunk(2, 1)
    return x * (1 + scale) + shift


def _through(blocks: nn.Module, x: Tensor, time: Tensor | None) -> Tensor:
    """Run blocks one after the other."""
    for block in blocks.children():
        x = block(x, time)
    return x
