"""SRGAN's discriminator (Ledig et al. 2017, figure 4), for any crop size."""

from torch import Tensor, nn

from sr_experiments.config.constraints import Features
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.discriminators.normalisation import Norm, normalised_conv
from sr_experiments.generators.padding import replicate_pad

SMALLEST = 64  # the last feature maps are then 2x2: enough to normalise over, even for a batch of one


@DISCRIMINATORS.register("vgg", small={"features": 4})
class VGGDiscriminator(nn.Module):
    """Pairs of convolutions that halve the size five times, pooled to 4x4, then two linear layers to one logit.

    BasicSR's VGGStyleDiscriminator with adaptive pooling before the linear layers, so that it is not tied to crops
    of 128. Crops below 64 are padded to 64 by their edge pixels.

    Args:
        channels: of the image.
        features: channels after the first convolution, rising to at most eight times as many.
        norm: "batch", "instance" or "none" (for wgan_gp, whose penalty is per sample).
    """

    def __init__(self, channels: int = 3, features: Features = 64, norm: Norm = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1), nn.LeakyReLU(0.2)]
        width = features
        for level in range(5):
            if level > 0:
                wider = min(width * 2, features * 8)
                layers += normalised_conv(width, wider, 3, 1, norm)
                width = wider
            layers += normalised_conv(width, width, 4, 2, norm)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4))
        self.classifier = nn.Sequential(nn.Linear(width * 16, 100), nn.LeakyReLU(0.2), nn.Linear(100, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], any size, to logits (N, 1)."""
        bottom, right = (max(0, SMALLEST - side) for side in image.shape[-2:])
        if bottom or right:
            image = replicate_pad(image, 0, right, 0, bottom)
        return self.classifier(self.features(image).flatten(1))
