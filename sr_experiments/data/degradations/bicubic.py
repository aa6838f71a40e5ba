"""Bicubic downsampling, as in the classic benchmarks (Set5, Set14, BSD100, DIV2K "bicubic")."""

from torch import Tensor

from sr_experiments.data.degradations import DEGRADATIONS, Degradation
from sr_experiments.data.resize import bicubic_downsample


@DEGRADATIONS.register("bicubic")
class Bicubic(Degradation):
    """Degradation with MATLAB's `imresize(hr, 1 / scale)` on images of 8 bits, or of the depth of the run."""

    def __init__(self, scale: int) -> None:
        super().__init__(scale)
        self.identity = scale == 1

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Return LR, (N, C, H / scale, W / scale)."""
        return bicubic_downsample(hr, self.scale, self.bits)
