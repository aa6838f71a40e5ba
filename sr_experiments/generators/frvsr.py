"""FRVSR, frame-recurrent video super-resolution (Sajjadi et al. 2018, arXiv 1801.04590, section 3).

Conventions, here and everywhere in the project:

- Flow is backward flow in pixels, (N, 2, H, W), channel 0 to the right (dx) and channel 1 down (dy). For each pixel
  of a frame it is the offset to sample the previous frame at: `frame[y, x] = previous[y + dy, x + dx]`. Content
  that moves right by 3 pixels from one frame to the next has a flow of dx = -3.
- `warp` samples bilinearly, with coordinates clamped to the image (border padding), pixel centres at whole
  numbers (`align_corners=True` after normalisation).
- `space_to_depth` orders its channels as TensorFlow does, (sy, sx, c): channel (sy * scale + sx) * C + c. This is
  not the (c, sy, sx) of `torch.nn.PixelUnshuffle`.
- State dict names are those of TecoGAN-PyTorch's FRNet, so its checkpoints fit.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.generator import TwoPartGenerator
from sr_experiments.generators.initialisation import kaiming_scaled_, zero_mean_
from sr_experiments.generators.padding import crop, pad_to_multiple, replicate_pad
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.registry import Component, build

FNET_MULTIPLE = 8  # the flow net halves the size three times
MAX_VELOCITY = 24.0  # LR pixels a frame


@GENERATORS.register("frvsr", small={"srnet": {"name": "resnet", "features": 8, "blocks": 1}})
class FRVSR(RecurrentGenerator):
    """Flow net, warping, space-to-depth and SR net (figure 2).

    The flow net estimates the flow between two LR frames. The previous SR frame is warped by it, rearranged to LR
    size by space-to-depth, and concatenated with the LR frame: the input of the SR net.

    Args:
        scale: 2 or 4.
        srnet: `name` of the SR net, one of `SR_NETS`, and its arguments.
        phase: where LR pixels lie on the HR grid, see `Degradation`: "centred" for bicubic LR, "corner" for
            blur_down. Frames and flow are enlarged accordingly, as by TecoGAN-PyTorch's FRNet for its BI and BD
            data: bilinear, or bicubic (a = -0.75) from the corner.
    """

    scales = (2, 4)

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        srnet: Annotated[Mapping[str, Any] | None, Component(SR_NETS)] = None,
        phase: Literal["auto", "centred", "corner"] = "centred",
    ) -> None:
        super().__init__(scale, channels, phase)
        self.size_multiple = FNET_MULTIPLE
        self.fnet = FNet(channels)
        extra: dict[str, Any] = {"scale": scale, "channels": channels, "extra_channels": channels * scale**2}
        srnet = srnet or {"name": "resnet"}
        if srnet.get("name") == "resnet":
            extra["phase"] = phase
        self.srnet = build("SR net", SR_NETS, srnet, **extra)

    def flow(self, lr: Tensor, lr_previous: Tensor) -> Tensor:
        """Estimate LR flow; frames are padded by their edge pixels to multiples of 8, and the flow is cropped."""
        height, width = lr.shape[-2:]
        pair = pad_to_multiple(torch.cat((lr, lr_previous), 1), FNET_MULTIPLE)  # (N, 2 * C, H, W), padded
        return crop(self.fnet(pair), height, width)

    def first_frame(self, lr: Tensor) -> Tensor:
        """Super-resolve (N, C, H, W) with zeros for the previous frame."""
        n, channels, height, width = lr.shape
        return self.srnet(torch.cat((lr, lr.new_zeros(n, channels * self.scale**2, height, width)), 1))

    def next_frame(self, lr: Tensor, sr_previous: Tensor, flow: Tensor) -> Tensor:
        """Super-resolve (N, C, H, W), given the previous SR frame and the LR flow to it."""
        hr_flow = self.scale * self.enlarge(flow)  # (N, 2, scale * H, scale * W), in HR pixels
        previous = space_to_depth(warp(sr_previous, hr_flow), self.scale)  # (N, scale^2 * C, H, W)
        return self.srnet(torch.cat((lr, previous), 1))

    def enlarge(self, image: Tensor) -> Tensor:
        """Interpolate (N, C, H, W) to (N, C, scale * H, scale * W) in the network's phase."""
        return UPSAMPLING[self.phase](image, self.scale)


class FNet(nn.Module):
    """Flow net: an encoder-decoder (figure 3) for up to 24 pixels of motion; 1,745,506 parameters for RGB.

    With torch's default initialisation the net stays at zero flow for thousands of steps: its first features depend
    on brightness rather than on change. So the first kernels are initialised with zero mean. Half of them are equal
    for both frames, the others of opposite sign: derivatives in space and in time, as in Lucas & Kanade.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.encoder1 = nn.Sequential(*_two_convolutions(2 * channels, 32), nn.MaxPool2d(2))
        self.encoder2 = nn.Sequential(*_two_convolutions(32, 64), nn.MaxPool2d(2))
        self.encoder3 = nn.Sequential(*_two_convolutions(64, 128), nn.MaxPool2d(2))
        self.decoder1 = nn.Sequential(*_two_convolutions(128, 256))
        self.decoder2 = nn.Sequential(*_two_convolutions(256, 128))
        self.decoder3 = nn.Sequential(*_two_convolutions(128, 64))
        self.flow = nn.Sequential(
            nn.Conv2d(64, 32, 3, padding=1), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(32, 2, 3, padding=1)
        )
        kaiming_scaled_(self, negative_slope=0.2)
        with torch.no_grad():
            first = self.encoder1.get_parameter("0.weight")  # (32, 2 * C, 3, 3)
            zero_mean_(first)
            sign = torch.where(torch.arange(len(first)) % 2 == 0, 1.0, -1.0).view(-1, 1, 1, 1)
            first[:, channels:] = sign * first[:, :channels]
            self.flow.get_parameter("2.weight").mul_(0.3)  # 24 * tanh is steep

    def forward(self, pair: Tensor) -> Tensor:
        """Current and previous frame (N, 2 * C, H, W), H and W multiples of 8, to flow (N, 2, H, W)."""
        x = self.encoder3(self.encoder2(self.encoder1(pair)))  # (N, 128, H / 8, W / 8)
        for decoder in (self.decoder1, self.decoder2, self.decoder3):
            x = F.interpolate(decoder(x), scale_factor=2, mode="bilinear", align_corners=False)
        # (N, 64, H, W)
        return MAX_VELOCITY * torch.tanh(self.flow(x))


@SR_NETS.register("resnet", small={"features": 8, "blocks": 1})
class SRNet(TwoPartGenerator):
    """FRVSR's own SR net: residual blocks without batch norm, then transposed convolutions (figure 3).

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


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample an image at displaced pixels, `result[y, x] = image[y + flow[1], x + flow[0]]`, bilinearly.

    Coordinates are clamped to the image. The image is (N, C, H, W), as is the result; flow is (N, 2, H, W) in pixels of
    the image, (dx, dy). Differentiable in both; with gradients enabled the result is NaN where the flow is not finite.
    """
    height, width = image.shape[-2:]
    # In float32 also under autocast: bf16 can't represent whole coordinates above 256.
    with torch.autocast(image.device.type, enabled=False):
        flow = flow.float()
        x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]  # (N, H, W)
        y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
        grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), -1)
        if not torch.is_grad_enabled():
            return F.grid_sample(image.float(), grid, padding_mode="border", align_corners=True)
        # With a NaN in the grid, forward would clamp it to some pixel and backward write anywhere in memory: keep it
        # out of the grid, and bring it back into the result.
        warped = F.grid_sample(image.float(), grid.nan_to_num(0.0), padding_mode="border", align_corners=True)
        return warped + 0 * flow.sum(1, keepdim=True)


def space_to_depth(image: Tensor, scale: int) -> Tensor:
    """Rearrange (N, C, scale * H, scale * W) to (N, scale^2 * C, H, W), channels in the order (sy, sx, c)."""
    n, channels, height, width = image.shape
    blocks = image.reshape(n, channels, height // scale, scale, width // scale, scale)  # (N, C, H, sy, W, sx)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, scale**2 * channels, height // scale, width // scale)


def bilinear(image: Tensor, scale: int) -> Tensor:
    """Enlarge (N, C, H, W) around pixel centres."""
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


def bicubic_from_corner(image: Tensor, scale: int) -> Tensor:
    """Enlarge (N, C, H, W) so that pixel (scale * y, scale * x) is pixel (y, x): cubic convolution, a = -0.75.

    The upsampling of TecoGAN for LR frames that are every `scale`-th pixel of a blurred HR frame.
    """
    height, width = image.shape[-2:]
    a = -0.75
    t = torch.arange(scale, device=image.device, dtype=torch.float64) / scale
    taps = torch.stack(
        (
            a * t - 2 * a * t**2 + a * t**3,
            1 - (a + 3) * t**2 + (a + 2) * t**3,
            -a * t + (2 * a + 3) * t**2 - (a + 2) * t**3,
            a * t**2 - a * t**3,
        ),
        1,
    ).to(image.dtype)  # (scale, 4): weights of pixels i - 1, i, i + 1 and i + 2
    padded = replicate_pad(image, 1, 2, 1, 2)  # (N, C, H + 3, W + 3)
    rows = torch.stack([padded[..., k : k + height, :] for k in range(4)], -1) @ taps.T  # (N, C, H, W + 3, scale)
    rows = rows.transpose(-1, -2).flatten(2, 3)  # (N, C, scale * H, W + 3)
    columns = torch.stack([rows[..., k : k + width] for k in range(4)], -1) @ taps.T  # (N, C, scale * H, W, scale)
    return columns.flatten(3, 4)


UPSAMPLING: dict[str, Callable[[Tensor, int], Tensor]] = {"centred": bilinear, "corner": bicubic_from_corner}


def _two_convolutions(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    ]
