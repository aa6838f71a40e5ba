"""Compact: Real-ESRGAN's SRVGGNetCompact, a plain chain of convolutions at LR size (Wang et al. 2021).

The network of realesr-general-x4v3 (32 convolutions) and realesr-animevideov3 (16).
"""

from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.initialisation import kaiming_scaled_, zero_mean_
from sr_experiments.generators.prelu import PReLU


@SR_NETS.register("compact")
@GENERATORS.register("compact", small={"features": 8, "convolutions": 1})
class Compact(Generator):
    """3x3 convolutions with PReLU at LR size and one pixel shuffle, plus the nearest-neighbour upscaled input.

    Layers and state dict names are Real-ESRGAN's. The last convolution begins small, so that the output begins close
    to the enlarged input.

    Args:
        scale: upsampling factor, 1 or more.
        features: channels of the hidden layers.
        convolutions: number of convolutions between the first and the last one.
        extra_channels: further input channels behind the image's: the previous frame, as the SR net of FRVSR.
        inner_scale: upsampling factor before bicubic interpolation to `scale`, as in ncnn's realesr-animevideov3-x2 and
            -x3; by default `scale`, without interpolation.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        features: Features = 64,
        convolutions: Blocks = 16,
        extra_channels: int = 0,
        inner_scale: Annotated[int, Ge(1), Le(16)] | None = None,
    ) -> None:
        super().__init__(scale, channels)
        self.inner_scale = inner_scale or scale
        self.receptive_radius = convolutions + 2 + (self.inner_scale != scale)
        self.body = nn.Sequential(nn.Conv2d(channels + extra_channels, features, 3, padding=1), PReLU(features))
        for _ in range(convolutions):
            self.body.append(nn.Conv2d(features, features, 3, padding=1))
            self.body.append(PReLU(features))
        last = nn.Conv2d(features, channels * self.inner_scale**2, 3, padding=1)
        self.body.append(last)
        self.upsampler = nn.PixelShuffle(self.inner_scale)
        kaiming_scaled_(self, negative_slope=0.25)  # PReLU's at the start
        kaiming_scaled_(last, 0.002)
        zero_mean_(self.body.get_parameter("0.weight"))

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C + extra_channels, H, W) in [0, 1] to SR (N, C, scale * H, scale * W)."""
        details = self.upsampler(self.body(lr))  # (N, C, inner_scale * H, inner_scale * W)
        sr = details + F.interpolate(lr[:, : self.channels], scale_factor=self.inner_scale, mode="nearest")
        if self.inner_scale == self.scale:
            return sr
        return F.interpolate(sr, size=[self.scale * side for side in lr.shape[-2:]], mode="bicubic")
