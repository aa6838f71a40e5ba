"""SRResNet (Ledig et al. 2017, arXiv 1609.04802, figure 4)."""

import torch
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS, SR_NETS
from sr_experiments.generators.initialisation import carry_image, enlarge_image


@SR_NETS.register("srresnet")
@GENERATORS.register("srresnet", small={"features": 8, "blocks": 1})
class SRResNet(nn.Module):
    """Residual blocks with batch norm at LR size, then sub-pixel upsampling.

    It begins as little more than a bilinear enlargement: the first features carry the image. Begun at random it takes
    hundreds of steps to learn that.

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
        self,
        scale: int = 4,
        channels: int = 3,
        features: Features = 64,
        blocks: Blocks = 16,
        extra_channels: int = 0,
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
        self._initialise(min(channels, features))

    @torch.no_grad()
    def _initialise(self, carried: int) -> None:
        carry_image(self.conv_in[0], carried)  # type: ignore[arg-type]
        self.conv_body[1].weight[:carried] = 0  # type: ignore[index, operator]
        for upsampling in self.upsampling:
            shuffle: nn.PixelShuffle = upsampling[1]  # type: ignore[assignment, index]
            enlarge_image(upsampling[0], carried, shuffle.upscale_factor)  # type: ignore[index]
        carry_image(self.conv_out, carried, rest=0.02)

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
