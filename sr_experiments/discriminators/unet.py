"""Real-ESRGAN's discriminator (Wang et al. 2021, arXiv 2107.10833): a U-Net with a logit per pixel."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from sr_experiments.config.constraints import Features
from sr_experiments.discriminators import DISCRIMINATORS


@DISCRIMINATORS.register("unet", small={"features": 4})
class UNetDiscriminator(nn.Module):
    """Three levels down and three up, with skip connections; layers and names are BasicSR's UNetDiscriminatorSN's.

    Args:
        channels: of the image.
        features: channels after the first convolution.
    """

    # Each forward pass changes the vectors of spectral norm in place, which a compiled backward pass after two forward
    # passes can't handle.
    compiles = False

    def __init__(self, channels: int = 3, features: Features = 64) -> None:
        super().__init__()
        f = features
        self.conv0 = nn.Conv2d(channels, f, 3, padding=1)
        self.conv1 = spectral_norm(nn.Conv2d(f, f * 2, 4, 2, 1, bias=False))
        self.conv2 = spectral_norm(nn.Conv2d(f * 2, f * 4, 4, 2, 1, bias=False))
        self.conv3 = spectral_norm(nn.Conv2d(f * 4, f * 8, 4, 2, 1, bias=False))
        self.conv4 = spectral_norm(nn.Conv2d(f * 8, f * 4, 3, padding=1, bias=False))
        self.conv5 = spectral_norm(nn.Conv2d(f * 4, f * 2, 3, padding=1, bias=False))
        self.conv6 = spectral_norm(nn.Conv2d(f * 2, f, 3, padding=1, bias=False))
        self.conv7 = spectral_norm(nn.Conv2d(f, f, 3, padding=1, bias=False))
        self.conv8 = spectral_norm(nn.Conv2d(f, f, 3, padding=1, bias=False))
        self.conv9 = nn.Conv2d(f, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], any size, to logits (N, 1, H, W)."""
        x0 = F.leaky_relu(self.conv0(image), 0.2)  # (N, f, H, W)
        x1 = F.leaky_relu(self.conv1(x0), 0.2)  # (N, 2f, H/2, W/2)
        x2 = F.leaky_relu(self.conv2(x1), 0.2)  # (N, 4f, H/4, W/4)
        x3 = F.leaky_relu(self.conv3(x2), 0.2)  # (N, 8f, H/8, W/8)
        x4 = F.leaky_relu(self.conv4(_enlarge(x3, x2)), 0.2) + x2  # (N, 4f, H/4, W/4)
        x5 = F.leaky_relu(self.conv5(_enlarge(x4, x1)), 0.2) + x1  # (N, 2f, H/2, W/2)
        x6 = F.leaky_relu(self.conv6(_enlarge(x5, x0)), 0.2) + x0  # (N, f, H, W)
        x = F.leaky_relu(self.conv7(x6), 0.2)
        return self.conv9(F.leaky_relu(self.conv8(x), 0.2))


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
