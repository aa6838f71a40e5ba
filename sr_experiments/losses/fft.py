"""Distances between spectra: fine detail counts as much as large areas."""

import torch
from torch import Tensor, nn

from sr_experiments.config.constraints import Weight
from sr_experiments.losses import LOSSES


@LOSSES.register("fft")
class FFTLoss(nn.Module):
    """Mean absolute difference of the complex 2-D Fourier coefficients, real and imaginary parts.

    The transform is orthonormal, so the loss does not grow with the crop. MIMO-UNet (Cho et al. 2021,
    arXiv 2108.05054) adds such a term to L1 with a weight of 0.1.
    """

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar."""
        # float32, for torch.fft has no bfloat16.
        difference = torch.fft.rfft2(sr.float() - hr.float(), norm="ortho")  # (N, C, H, W // 2 + 1), complex
        return torch.view_as_real(difference).abs().mean()


@LOSSES.register("focal_frequency")
class FocalFrequencyLoss(nn.Module):
    """Mean of w * |F(sr) - F(hr)|^2 over the frequencies (Jiang et al. 2021, arXiv 2012.12821).

    F is the orthonormal 2-D Fourier transform of a channel. The weight w is |F(sr) - F(hr)|^alpha, divided by its
    maximum over the channel and taken as constant: frequencies that are far off count most.

    Args:
        alpha: exponent of the weights w; larger emphasises the worst frequencies more.
    """

    def __init__(self, alpha: Weight = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar."""
        power = torch.view_as_real(torch.fft.fft2(sr.float() - hr.float(), norm="ortho")).square().sum(-1)
        weight = power.detach() ** (self.alpha / 2)
        largest = weight.amax((-2, -1), keepdim=True)
        return (weight / largest.clamp(min=torch.finfo(weight.dtype).tiny) * power).mean()
