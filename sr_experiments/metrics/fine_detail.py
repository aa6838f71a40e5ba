"""Fine detail: whether SR has as much energy above LR's Nyquist frequency as HR has."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sr_experiments.data.depth import WORDS, Bits
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import ImageMetric, luma

FLOOR = 1e-6  # energy a pixel, in squared levels, added so that the ratio of flat pictures stays finite


@METRICS.register("fine_detail")
class FineDetail(ImageMetric):
    """|10 log10(E(SR) / E(HR))| per image, in dB: E is the energy of luma above LR's Nyquist frequency.

    0 means as much fine detail as HR has. Blur lowers the energy (half the amplitude is 6 dB), noise raises it. It does
    not say whether the detail is right: read it beside PSNR and LPIPS. The picture is weighted with a Hann window, so
    that its borders don't count as detail.

    Args:
        scale: upsampling factor; LR's Nyquist frequency is 0.5 / scale cycles per HR pixel. At scale 1, where LR has
            all frequencies of HR, the upper half of them counts, as at scale 2.
    """

    higher_is_better = False
    digits = 2
    unit = "dB"

    def __init__(self, scale: Annotated[int, Ge(1)] = 4, crop_border: int = 0, bits: Bits = 8) -> None:
        super().__init__(crop_border, bits)
        self.scale = max(scale, 2)
        above = f"LR's Nyquist frequency (scale {scale})" if scale > 1 else "0.25 cycles a pixel"
        self.convention = (
            f"energy above {above} of SR to HR, absolute dB, Y (BT.601, 16-235), "
            f"Hann window, crop {crop_border}, {WORDS[bits]}, mean over images"
        )

    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, C, H, W) in [0, 1] twice to (N,) in dB."""
        return (10 * torch.log10(self._energy(sr) / self._energy(hr))).abs()

    def _energy(self, image: Tensor) -> Tensor:
        y = luma(self.prepare(image))[:, 0]  # (N, H, W)
        height, width = y.shape[-2:]
        dtype, device = y.dtype, y.device
        rows, columns = (torch.hann_window(side, dtype=dtype, device=device) for side in (height, width))
        window = rows[:, None] * columns  # (H, W)
        power = torch.fft.fft2(window * (y - y.mean((-2, -1), keepdim=True))).abs().square()
        rows, columns = (torch.fft.fftfreq(side, dtype=dtype, device=device) for side in (height, width))
        above = torch.hypot(rows[:, None], columns) > 0.5 / self.scale  # (H, W) of bool, cycles a pixel
        return (power * above).mean((-2, -1)) / (height * width) + FLOOR
