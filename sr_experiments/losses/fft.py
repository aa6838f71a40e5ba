"""Distance between spectra: fine detail counts as much as large areas."""

import torch
from torch import Tensor, nn

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
