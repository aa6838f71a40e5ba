"""A network of your own: two convolutions and a pixel shuffle."""

from torch import Tensor, nn

from sr_experiments.config.constraints import Features
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator


@GENERATORS.register("mine")
class Mine(Generator):
    """Two convolutions at LR size, then a pixel shuffle.

    Args:
        scale: upsampling factor.
        channels: number of channels of LR and SR.
        features: number of channels between the convolutions.
    """

    def __init__(self, scale: int = 4, channels: int = 3, features: Features = 32) -> None:
        super().__init__(scale, channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, channels * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) in [0, 1] to SR (N, C, scale * H, scale * W)."""
        return self.layers(lr)
