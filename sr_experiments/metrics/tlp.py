"""tLP (Chu et al. 2020, TecoGAN, arXiv 1811.09393): whether SR changes from frame to frame as much as HR."""

import torch
from torch import Tensor

from sr_experiments.metrics import METRICS
from sr_experiments.metrics.lpips import TRUNKS, Trunk, lpips_network
from sr_experiments.metrics.temporal import TemporalMetric, crop_8x8


@METRICS.register("tlp")
class TLP(TemporalMetric):
    """Temporal LPIPS (tLP100): 100 |LPIPS(hr[t-1], hr[t]) - LPIPS(sr[t-1], sr[t])|, as in TecoGAN's `metrics.py`.

    The first and the last two frames of a clip are left out, so a clip needs 6.

    Args:
        net: backbone of LPIPS: "alex", as published, "vgg" or "squeeze".
        crop_border: unused, the definition has its own crop, to multiples of 32.

    Raises:
        WeightsUnavailable: no trained weights of the trunk.
    """

    skipped = 2

    def __init__(self, net: Trunk = "alex", crop_border: int = 0) -> None:
        super().__init__(crop_border)
        self.network = lpips_network(net)
        self.pretrained = (TRUNKS[net],)
        self.convention = (
            f"tLP x 100, LPIPS v0.1, {net} trunk, RGB, 8-bit, TecoGAN's crop to multiples of 32, "
            "without the first and last 2 frames, mean over pairs"
        )

    def frame(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return both frames as LPIPS takes them, cropped: (2, 3, H, W) in [-1, 1]."""
        rows, columns = crop_8x8(*hr.shape[-2:])
        both = torch.stack([x[:, rows, columns].float().expand(3, -1, -1) for x in (sr, hr)])
        return both.clamp(0, 1).mul(255).round() / 127.5 - 1

    @torch.no_grad()
    def pair(self, previous: Tensor, current: Tensor) -> Tensor:
        """Return the difference of both changes, a scalar on the frames' device."""
        with torch.autocast(current.device.type, enabled=False):
            sr_change, hr_change = self.network(previous, current).flatten()
        return 100 * (hr_change - sr_change).abs()
