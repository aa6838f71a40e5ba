"""SRResNet (Ledig et al. 2017, arXiv 1609.04802, figure 4)."""

from torch import Tensor, nn

from sr_experiments.errors import SRError


class SRResNet(nn.Module):
    """Residual blocks with batch norm at LR size, then sub-pixel upsampling.

    Args:
        scale: 2, 3 or 4.
        channels: of the input and the output image.
        features: channels inside.
        blocks: residual blocks.
        extra_channels: of the input, behind the image's: the previous frame, where this is a part of FRVSR.

    Raises:
        SRError: another scale.
    """

    def __init__(
        self, scale: int = 4, channels: int = 3, features: int = 64, blocks: int = 16, extra_channels: int = 0
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise SRError(f"srresnet can't do scale={scale}: choose 2, 3 or 4")
        self.scale = scale
        self.channels = channels
        self.conv_in = nn.Sequential(nn.Conv2d(channels + extra_channels, features, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.conv_body = nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.BatchNorm2d(features))
        steps = [2, 2] if scale == 4 else [scale]
        self.upsampling = nn.Sequential(*(Upsampling(features, step) for step in steps))
        self.conv_out = nn.Conv2d(features, channels, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        """(N, C + extra_channels, H, W), the image in [0, 1], to (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract_features(lr), lr)

    def extract_features(self, lr: Tensor) -> Tensor:
        """The part at LR size: (N, C + extra_channels, H, W) to (N, features, H, W)."""
        shallow = self.conv_in(lr)
        return shallow + self.conv_body(self.blocks(shallow))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """The part that enlarges: (N, features, H, W), and the input, to (N, C, scale * H, scale * W)."""
        return self.conv_out(self.upsampling(features))


class ResidualBlock(nn.Module):
    """conv-BN-PReLU-conv-BN and the identity."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
            nn.PReLU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same."""
        return x + self.layers(x)


class Upsampling(nn.Sequential):
    """A convolution to sub-pixels, rearranged: `step` times larger."""

    def __init__(self, features: int, step: int) -> None:
        super().__init__(nn.Conv2d(features, features * step**2, 3, padding=1), nn.PixelShuffle(step), nn.PReLU())
