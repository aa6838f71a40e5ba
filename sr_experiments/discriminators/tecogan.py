"""TecoGAN's spatio-temporal discriminator (Chu et al. 2020, arXiv 1811.09393), for any crop size."""

from torch import Tensor, nn

from sr_experiments.config.constraints import Features
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.discriminators.normalisation import Norm, normalised_conv


@DISCRIMINATORS.register("tecogan", small={"features": 4})
class TecoGANDiscriminator(nn.Module):
    """A convolution, four convolutions with stride 2, and a linear layer to one logit.

    TecoGAN-PyTorch's, which is tied to crops of 128, with adaptive pooling to the 8x8 that such crops give.

    Args:
        channels: of the input; nine times a frame's for TecoGAN's arrangement of three frames.
        features: channels after the first convolution, rising to four times as many.
        norm: "batch", "instance" or "none" (for wgan_gp).
    """

    def __init__(self, channels: int = 3, features: Features = 64, norm: Norm = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1), nn.LeakyReLU(0.2)]
        width = features
        for wider in (features, features, 2 * features, 4 * features):
            layers += normalised_conv(width, wider, 4, 2, norm)
            width = wider
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(8))
        self.classifier = nn.Linear(width * 64, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) to logits (N, 1)."""
        return self.classifier(self.features(image).flatten(1))  # from (N, 4 * features, 8, 8)
