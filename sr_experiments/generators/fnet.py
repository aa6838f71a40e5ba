"""The flow net of FRVSR (Sajjadi et al. 2018, arXiv 1801.04590, figure 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.generators.initialisation import kaiming_scaled_, zero_mean_

FNET_MULTIPLE = 8  # the flow net halves the size three times
MAX_VELOCITY = 24.0  # LR pixels a frame


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


def _two_convolutions(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    ]
