"""Discriminators take any crop and can be trained."""

import pytest
import torch
from torch import nn

from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError
from sr_experiments.losses.adversarial import by_scale
from sr_experiments.registry import build
from tests.conftest import ROOT


def tiny(name, **more):
    return build("discriminator", DISCRIMINATORS, {"name": name, "features": 4, **more})


def test_every_file_has_a_network():
    names = {path.stem for path in (ROOT / "conf/loss/discriminator").glob("*.yaml")}
    assert names == set(DISCRIMINATORS)


@pytest.mark.parametrize("name", DISCRIMINATORS)
@pytest.mark.parametrize("size", [(32, 32), (36, 52), (97, 64), (128, 128)])
def test_any_crop_gives_finite_logits_and_gradients(name, size):
    image = torch.rand(2, 3, *size, requires_grad=True)
    discriminator = tiny(name)
    of_scales = by_scale(discriminator(image))
    assert all(logits.shape[:2] == (2, 1) for logits in of_scales)
    sum(logits.square().mean() for logits in of_scales).backward()
    assert image.grad.abs().sum() > 0
    assert all(p.grad is not None for p in discriminator.parameters())


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("size", [(16, 16), (17, 40), (64, 16)])
def test_vgg_takes_small_crops_one_at_a_time_and_a_gradient_penalty(norm, size):
    image = torch.rand(1, 3, *size, requires_grad=True)
    discriminator = tiny("vgg", norm=norm)
    (gradient,) = torch.autograd.grad(discriminator(image).sum(), image, create_graph=True)
    assert gradient.abs().sum() > 0
    (gradient.norm() - 1).square().backward()
    assert discriminator.features[0].weight.grad.abs().sum() > 0


def test_unet_gives_a_logit_a_pixel_and_has_basicsrs_names():
    discriminator = tiny("unet")
    assert discriminator(torch.rand(1, 3, 33, 47)).shape == (1, 1, 33, 47)
    assert {n.split(".")[0] for n in discriminator.state_dict()} == {f"conv{i}" for i in range(10)}


def test_spectral_norm_bounds_the_unets_inner_layers():
    discriminator = tiny("unet").train()
    for _ in range(30):
        discriminator(torch.rand(1, 3, 8, 8))
    for i in range(1, 9):
        weight = discriminator.get_submodule(f"conv{i}").weight
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_patch_logit_sees_seventy_pixels():
    discriminator = tiny("patch", norm="none")
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    logits = discriminator(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 70


def test_the_scales_of_multiscale_patch_see_twice_as_much_each():
    discriminator = tiny("multiscale_patch", norm="none", layers=1)
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    seen = []
    for logits in discriminator(image):
        (gradient,) = torch.autograd.grad(
            logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], image, retain_graph=True
        )
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        seen.append(int(rows.max() - rows.min()) + 1)
    assert seen == [16, 2 * 16 + 1, 4 * 16 + 3]  # and the border of the 3x3 means
    # The second scale is a PatchGAN of means of 3x3 pixels.
    halved = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 2)
    inner = discriminator.scales[1](halved)[..., 4:-4, 4:-4]
    torch.testing.assert_close(discriminator(image)[1][..., 4:-4, 4:-4], inner)


@pytest.mark.parametrize("name", ["vgg", "patch"])
def test_norm_is_a_knob(name):
    kinds = {type(m) for m in tiny(name, norm="instance").modules()}
    assert nn.InstanceNorm2d in kinds
    assert nn.BatchNorm2d not in kinds
    assert nn.BatchNorm2d not in {type(m) for m in tiny(name, norm="none").modules()}
    with pytest.raises(SRError, match="instance"):
        tiny(name, norm="layer")
