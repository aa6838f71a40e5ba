"""TecoGAN's spatio-temporal discriminator (Chu et al. 2020, arXiv 1811.09393), for any crop size."""

from torch import Tensor, nn

from sr_experiments.config.constraints import Features
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.discriminators.normalisation import Norm, normalisation


@DISCRIMINATORS.register("tecogan", small={"features": 4})
class TecoGANDiscriminator(nn.Module):
    """A convolution, four that halve the size, and a linear layer to one logit.

    As TecoGAN-PyTorch's, which is tied to crops of 128: others are pooled to the 8x8 that these give.

    Args:
        channels: of what is judged; of three frames in TecoGAN's arrangement, nine times a frame's.
        features: channels after the first convolution; four times as many at the end.
        norm: "batch", "instance" or "none" (for wgan_gp).
    """

    def __init__(self, channels: int = 3, features: Features = 64, norm: Norm = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1), nn.LeakyReLU(0.2)]
        inside = features
        for outside in (features, features, 2 * features, 4 * features):
            layers += [
                nn.Conv2d(inside, outside, 4, stride=2, padding=1, bias=norm == "none"),
                *normalisation(norm, outside),
                nn.LeakyReLU(0.2),
            ]
            inside = outside
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(8))
        self.classifier = nn.Linear(inside * 64, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) to logits (N, 1)."""
        return self.classifier(self.features(image).flatten(1))
