"""FRVSR, frame-recurrent video super-resolution (Sajjadi et al. 2018, arXiv 1801.04590, section 3).

Conventions, here and everywhere in the project:

- Flow is (N, 2, H, W) in pixels, channel 0 to the right (dx) and channel 1 down (dy). The flow of a frame says,
  for each of its pixels, where to sample the previous frame: `frame[y, x] = previous[y + dy, x + dx]`. Content
  that moves right by 3 pixels from one frame to the next has a flow of dx = -3.
- `warp` samples bilinearly, with coordinates clamped to the image (border padding), pixel centres at whole
  numbers (`align_corners=True` after normalisation).
- `space_to_depth` orders its channels as TensorFlow does, (sy, sx, c): channel (sy * scale + sx) * C + c. This is
  not the (c, sy, sx) of `torch.nn.PixelUnshuffle`.
- State dict names are those of TecoGAN-PyTorch's FRNet, so its checkpoints fit.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.initialisation import see_contrasts
from sr_experiments.generators.padding import continued, whole_blocks, without_padding
from sr_experiments.registry import Component, build

FRAME_MULTIPLE = 8  # the flow net halves the size three times
MAX_VELOCITY = 24.0  # LR pixels a frame


class State(NamedTuple):
    """What a frame leaves to the next: LR (N, C, H, W), SR (N, C, scale * H, scale * W), flow (N, 2, H, W) or None."""

    lr: Tensor
    sr: Tensor
    flow: Tensor | None = None


class Clip(NamedTuple):
    """SR (N, T, C, scale * H, scale * W), and LR flow (N, T - 1, 2, H, W) of frames 1 to T - 1."""

    sr: Tensor
    flow: Tensor


@GENERATORS.register("frvsr", small={"srnet": {"name": "resnet", "features": 8, "blocks": 1}})
class FRVSR(nn.Module):
    """The SR net sees the LR frame beside the previous SR frame, warped by the flow net's flow, space-to-depth.

    Args:
        scale: 2 or 4.
        channels: of a frame.
        srnet: `name` of the SR net, one of `SR_NETS`, and its arguments.
        phase: where LR pixels lie on the HR grid, see `Degradation`: "centred" for bicubic LR, "corner" for
            blur_down. Frames and flow are then enlarged as TecoGAN-PyTorch's FRNet does for its BI and BD
            data: bilinear, or bicubic (a = -0.75) from the corner.

    Raises:
        SRError: another scale or phase, an unknown SR net, or arguments it doesn't take.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        srnet: Annotated[Mapping[str, Any] | None, Component(SR_NETS)] = None,
        phase: Literal["auto", "centred", "corner"] = "centred",
    ) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise SRError(f"frvsr can't do scale={scale}: choose 2 or 4")
        if phase not in UPSAMPLING:
            raise SRError(f"frvsr has no phase {phase!r}: choose one of {', '.join(UPSAMPLING)}")
        self.scale = scale
        self.channels = channels
        self.phase = phase
        self.fnet = FNet(channels)
        extra: dict[str, Any] = {"scale": scale, "channels": channels, "extra_channels": channels * scale**2}
        srnet = srnet or {"name": "resnet"}
        if srnet.get("name") == "resnet":
            extra["phase"] = phase
        self.srnet = build("SR net", SR_NETS, srnet, **extra)

    def forward(self, clip: Tensor) -> Clip:
        """Super-resolve clips from their first frames on; for training.

        Args:
            clip: LR (N, T, C, H, W) in [0, 1], any H and W.
        """
        flow = self.clip_flow(clip)
        frames = [self._first(clip[:, 0])]
        for t in range(1, clip.shape[1]):
            frames.append(self.next_from(clip[:, t], frames[-1], flow[:, t - 1]))
        return Clip(torch.stack(frames, 1), flow)

    def step(self, lr: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Super-resolve the next frame of a stream.

        Args:
            lr: (N, C, H, W) in [0, 1].
            state: of the frame before; None at the start and after a scene cut.

        Returns:
            The SR frame (N, C, scale * H, scale * W), and the state for the next call.
        """
        if state is None:
            sr = self._first(lr)
            return sr, State(lr, sr)
        flow = self.flow(lr, state.lr)
        sr = self.next_from(lr, state.sr, flow)
        return sr, State(lr, sr, flow)

    def flow(self, lr: Tensor, lr_previous: Tensor) -> Tensor:
        """LR flow (N, 2, H, W) of frames `lr` to the ones before them, both (N, C, H, W) of any size.

        Frames are continued by their edge pixels to multiples of 8, the flow is cropped.
        """
        height, width = lr.shape[-2:]
        pair = whole_blocks(torch.cat((lr, lr_previous), 1), FRAME_MULTIPLE)
        return without_padding(self.fnet(pair), height, width)

    def clip_flow(self, clip: Tensor) -> Tensor:
        """LR flow (N, T - 1, 2, H, W) of frames 1 to T - 1 of clips (N, T, C, H, W)."""
        length = clip.shape[1]
        if length == 1:
            return clip[:, 1:, :2]  # of no frame
        return self.flow(clip[:, 1:].flatten(0, 1), clip[:, :-1].flatten(0, 1)).unflatten(0, (-1, length - 1))

    def enlarge(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, scale * H, scale * W), without a network."""
        return UPSAMPLING[self.phase](image, self.scale)

    def _first(self, lr: Tensor) -> Tensor:
        n, channels, height, width = lr.shape
        return self.srnet(torch.cat((lr, lr.new_zeros(n, channels * self.scale**2, height, width)), 1))

    def next_from(self, lr: Tensor, sr_previous: Tensor, flow: Tensor) -> Tensor:
        """SR of a frame from the SR before it and the LR flow between them."""
        warped = warp(sr_previous, self.scale * self.enlarge(flow))
        return self.srnet(torch.cat((lr, space_to_depth(warped, self.scale)), 1))


class FNet(nn.Module):
    """Flow of the current frame to the previous one, up to 24 pixels; 1,745,506 parameters for RGB.

    With torch's usual initialisation the net stays at zero flow for thousands of steps: its first features are
    of the frames' brightness, not of what changes. So the first kernels have no mean; half of them begin as the
    same on both frames, the others as their difference: derivatives in space and in time, as in Lucas & Kanade.

    Args:
        channels: of a frame.
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
        self._initialise(channels)

    @torch.no_grad()
    def _initialise(self, channels: int) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        see_contrasts(self.encoder1[0])  # type: ignore[arg-type]
        first: Tensor = self.encoder1[0].weight  # type: ignore[assignment]
        last: Tensor = self.flow[2].weight  # type: ignore[assignment]
        sign = torch.where(torch.arange(len(first)) % 2 == 0, 1.0, -1.0).view(-1, 1, 1, 1)
        first[:, channels:] = sign * first[:, :channels]
        last.mul_(0.3)  # 24 * tanh is steep

    def forward(self, pair: Tensor) -> Tensor:
        """Current and previous frame (N, 2 * C, H, W), H and W multiples of 8, to flow (N, 2, H, W)."""
        x = self.encoder3(self.encoder2(self.encoder1(pair)))  # (N, 128, H / 8, W / 8)
        for decoder in (self.decoder1, self.decoder2, self.decoder3):
            x = F.interpolate(decoder(x), scale_factor=2, mode="bilinear", align_corners=False)
        return MAX_VELOCITY * torch.tanh(self.flow(x))


@SR_NETS.register("resnet", small={"features": 8, "blocks": 1})
class SRNet(nn.Module):
    """FRVSR's own SR net: residual blocks without batch norm, then transposed convolutions (figure 3).

    With 10 blocks and 64 features, and FNet, this is FRVSR 10-64: 2,589,093 parameters.

    It begins as little more than the enlarged frame. As in `FNet` the first kernels begin without a mean.

    Args:
        scale: 2 or 4.
        channels: of a frame.
        extra_channels: of the warped previous frame, space-to-depth.
        features: channels inside.
        blocks: residual blocks.
        phase: see `FRVSR`.
    """

    def __init__(
        self,
        scale: int,
        channels: int,
        extra_channels: int,
        features: Features = 64,
        blocks: Blocks = 10,
        phase: str = "centred",
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.phase = phase
        self.conv_in = nn.Sequential(
            nn.Conv2d(channels + extra_channels, features, 3, padding=1), nn.ReLU(inplace=True)
        )
        self.resblocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        upsampling: list[nn.Module] = []
        for _ in range(scale // 2):
            upsampling += [
                nn.ConvTranspose2d(features, features, 3, stride=2, padding=1, output_padding=1),
                nn.ReLU(inplace=True),
            ]
        self.conv_up = nn.Sequential(*upsampling)
        self.conv_out = nn.Conv2d(features, channels, 3, padding=1)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        see_contrasts(self.conv_in[0])  # type: ignore[arg-type]
        for block in self.resblocks:
            block.conv[2].weight.mul_(0.1)  # type: ignore[union-attr, index, operator]
        self.conv_out.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """LR frame and warped previous one (N, C + extra_channels, H, W) to SR (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract_features(x), x)

    def extract_features(self, x: Tensor) -> Tensor:
        """The part at LR size: (N, C + extra_channels, H, W) to (N, features, H, W)."""
        return self.resblocks(self.conv_in(x))

    def reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        """The part that enlarges: (N, features, H, W), and the input, to (N, C, scale * H, scale * W)."""
        residual = self.conv_out(self.conv_up(features))
        return UPSAMPLING[self.phase](x[:, : self.channels], self.scale) + residual


class ResidualBlock(nn.Module):
    """conv-ReLU-conv and the identity."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same."""
        return x + self.conv(x)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """`result[y, x] = image[y + flow[1], x + flow[0]]`, bilinear, coordinates clamped to the image.

    Args:
        image: (N, C, H, W).
        flow: (N, 2, H, W) in pixels of the image, (dx, dy).

    Returns:
        (N, C, H, W); gradients reach both. While training, NaN where the flow is not finite.
    """
    height, width = image.shape[-2:]
    # In float32 also under autocast: bf16 can't tell pixels from each other in coordinates above 256.
    with torch.autocast(image.device.type, enabled=False):
        flow = flow.float()
        x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]  # (N, H, W)
        y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
        grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), -1)
        if not torch.is_grad_enabled():
            return F.grid_sample(image.float(), grid, padding_mode="border", align_corners=True)
        # A NaN in the grid would be clamped to some pixel, and backward write anywhere in memory: keep it out of the
        # grid, and let it show in the result.
        warped = F.grid_sample(image.float(), grid.nan_to_num(0.0), padding_mode="border", align_corners=True)
        return warped + 0 * flow.sum(1, keepdim=True)


def space_to_depth(image: Tensor, scale: int) -> Tensor:
    """(N, C, scale * H, scale * W) to (N, scale^2 * C, H, W), channels in the order (sy, sx, c)."""
    n, channels, height, width = image.shape
    blocks = image.reshape(n, channels, height // scale, scale, width // scale, scale)
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
    padded = continued(image, 1, 2, 1, 2)
    rows = torch.stack([padded[..., k : k + height, :] for k in range(4)], -1) @ taps.T  # (N, C, H, W + 3, scale)
    rows = rows.transpose(-1, -2).flatten(2, 3)  # (N, C, scale * H, W + 3)
    columns = torch.stack([rows[..., k : k + width] for k in range(4)], -1) @ taps.T  # (N, C, scale * H, W, scale)
    return columns.flatten(3, 4)


UPSAMPLING: dict[str, Callable[[Tensor, int], Tensor]] = {"centred": bilinear, "corner": bicubic_from_corner}


def _two_convolutions(inside: int, outside: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inside, outside, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(outside, outside, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    ]
