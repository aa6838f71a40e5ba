"""FRVSR, frame-recurrent video super-resolution (Sajjadi et al. 2018, arXiv 1801.04590, section 3).

`space_to_depth` orders its channels as TensorFlow does, (sy, sx, c): channel (sy * scale + sx) * C + c. This is not the
(c, sy, sx) of `torch.nn.PixelUnshuffle`. State dict names are those of TecoGAN-PyTorch's FRNet, so its checkpoints fit.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.fnet import FNET_MULTIPLE
from sr_experiments.generators.generator import TwoPartGenerator
from sr_experiments.generators.initialisation import kaiming_scaled_, zero_mean_
from sr_experiments.generators.recurrent import Flow, RecurrentGenerator, flow_estimator
from sr_experiments.generators.upsampling import UPSAMPLING
from sr_experiments.generators.warp import warp
from sr_experiments.registry import Component, build


@GENERATORS.register("frvsr", small={"srnet": {"name": "resnet", "features": 8, "blocks": 1}})
class FRVSR(RecurrentGenerator):
    """Flow network, warping, space-to-depth and SR network (figure 2).

    The flow net estimates the flow between two LR frames. The previous SR frame is warped by it, rearranged to LR
    size by space-to-depth, and concatenated with the LR frame: the input of the SR net.

    Args:
        scale: 2 or 4.
        srnet: `name` of the SR network, one of `SR_NETS`, and its arguments.
        phase: where LR pixels lie on the HR grid, see `Degradation`: "centred" for bicubic LR, "corner" for
            blur_down. Frames and flow are upscaled accordingly, as by TecoGAN-PyTorch's FRNet for its BI and BD data:
            bilinear, or bicubic (a = -0.75) from the corner.
        flow: "net", which has to be trained; or "lucas_kanade", which has no weights and is accurate from the start.
    """

    scales = (2, 4)
    handed_on = "sr"

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        srnet: Annotated[Mapping[str, Any] | None, Component(SR_NETS)] = None,
        phase: Literal["auto", "centred", "corner"] = "centred",
        flow: Flow = "net",
    ) -> None:
        super().__init__(scale, channels, phase)
        self.size_multiple = FNET_MULTIPLE
        self.fnet = flow_estimator(flow, channels)
        self.extra_channels = channels * scale**2
        extra: dict[str, Any] = {"scale": scale, "channels": channels, "extra_channels": self.extra_channels}
        srnet = srnet or {"name": "resnet"}
        if srnet.get("name") == "resnet":
            extra["phase"] = phase
        self.srnet = build("SR net", SR_NETS, srnet, **extra)

    def first_frame(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve (N, C, H, W) with zeros for the previous frame."""
        n, _, height, width = lr.shape
        sr = self.srnet(torch.cat((lr, lr.new_zeros(n, self.extra_channels, height, width)), 1))
        return sr, sr

    def next_frame(self, lr: Tensor, memory: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve (N, C, H, W), given the previous SR frame and the LR flow to it."""
        hr_flow = self.scale * self.enlarge(flow)  # (N, 2, scale * H, scale * W), in HR pixels
        previous = space_to_depth(warp(memory, hr_flow), self.scale)  # (N, scale^2 * C, H, W)
        sr = self.srnet(torch.cat((lr, previous), 1))
        return sr, sr


@SR_NETS.register("resnet", small={"features": 8, "blocks": 1})
class SRNet(TwoPartGenerator):
    """SR network of the FRVSR paper: residual blocks without batch norm, then transposed convolutions (figure 3).

    With 10 blocks and 64 features, and FNet, this is FRVSR 10-64: 2,589,093 parameters.

    The residual branches and the last layer are initialised small, so that the output begins close to the enlarged
    frame; as in `FNet` the first kernels have zero mean.

    Args:
        scale: 2 or 4.
        extra_channels: of the warped previous frame, after space-to-depth.
        features: channels of the hidden layers.
        blocks: number of residual blocks.
        phase: see `FRVSR`.
    """

    phase: str

    def __init__(
        self,
        scale: int,
        channels: int,
        extra_channels: int,
        features: Features = 64,
        blocks: Blocks = 10,
        phase: str = "centred",
    ) -> None:
        super().__init__(scale, channels, phase)
        self.conv_in = nn.Sequential(
            nn.Conv2d(channels + extra_channels, features, 3, padding=1), nn.ReLU(inplace=True)
        )
        self.resblocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.conv_up = nn.Sequential()
        for _ in range(scale // 2):
            self.conv_up.append(nn.ConvTranspose2d(features, features, 3, stride=2, padding=1, output_padding=1))
            self.conv_up.append(nn.ReLU(inplace=True))
        self.conv_out = nn.Conv2d(features, channels, 3, padding=1)
        kaiming_scaled_(self)
        with torch.no_grad():
            zero_mean_(self.conv_in.get_parameter("0.weight"))
            for block in self.resblocks.children():
                block.get_parameter("conv.2.weight").mul_(0.1)
            self.conv_out.weight.mul_(0.1)

    def extract_features(self, lr: Tensor) -> Tensor:
        """First part: LR and warped previous frame (N, C + extra_channels, H, W) to (N, features, H, W)."""
        return self.resblocks(self.conv_in(lr))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Second part: (N, features, H, W), and the input, to (N, C, scale * H, scale * W)."""
        residual = self.conv_out(self.conv_up(features))  # (N, C, scale * H, scale * W)
        return UPSAMPLING[self.phase](lr[:, : self.channels], self.scale) + residual


class ResidualBlock(nn.Module):
    """conv-ReLU-conv and a skip connection."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        return x + self.conv(x)


def space_to_depth(image: Tensor, scale: int) -> Tensor:
    """Rearrange (N, C, scale * H, scale * W) to (N, scale^2 * C, H, W), channels in the order (sy, sx, c)."""
    n, channels, height, width = image.shape
    blocks = image.reshape(n, channels, height // scale, scale, width // scale, scale)  # (N, C, H, sy, W, sx)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, scale**2 * channels, height // scale, width // scale)
