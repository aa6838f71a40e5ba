"""Discriminators take any crop and can be trained."""

import json

import pytest
import torch
from torch import nn

from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError
from sr_experiments.losses.adversarial import by_scale
from sr_experiments.registry import build
from tests.conftest import ROOT, TINY_GAN


def tiny(name, channels=3, **more):
    return build("discriminator", DISCRIMINATORS, {"name": name, "features": 4, **more}, channels=channels)


def test_every_file_has_a_network():
    names = {path.stem for path in (ROOT / "conf/loss/discriminator").glob("*.yaml")}
    assert names == set(DISCRIMINATORS)


@pytest.mark.usefixtures("with_weights")
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


@pytest.mark.usefixtures("with_weights")
def test_projected_trains_its_heads_alone_and_takes_vgg16_from_its_own_file():
    discriminator = tiny("projected")
    assert {name.split(".")[0] for name, _ in discriminator.named_parameters()} == {"heads"}
    saved = discriminator.state_dict()
    assert sum(tensor.numel() for tensor in saved.values()) < 1e5  # VGG16 has 7.6 million to relu4_3
    other = tiny("projected")
    image = torch.rand(2, 3, 32, 48)
    assert not torch.equal(discriminator.eval()(image)[0], other.eval()(image)[0])
    other.load_state_dict(saved)
    for ours, theirs in zip(discriminator(image), other(image), strict=True):
        assert torch.equal(ours, theirs)
    of_grey = tiny("projected", channels=1).eval()
    of_grey.load_state_dict(saved)
    grey = image.mean(1, keepdim=True)
    for ours, theirs in zip(discriminator(grey.expand(-1, 3, -1, -1)), of_grey(grey), strict=True):
        assert torch.equal(ours, theirs)


def test_projected_says_what_it_lacks(with_weights, tmp_path, monkeypatch):
    with pytest.raises(SRError, match="takes grey and RGB images, not 9 channels"):
        tiny("projected", channels=9)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SRError, match="vgg16 weights are not on this machine"):
        tiny("projected")


def test_a_run_with_projected_says_where_its_weights_are_from_and_resumes(train, with_weights):
    options = [
        "loss/discriminator=projected",
        "loss/adversarial=hinge",
        "loss/perceptual=none",
        "optim/schedule=constant",
    ]
    folder = train(*TINY_GAN, *options, "trainer.max_steps=2")
    assert "vgg16" in json.loads((folder / "summary.json").read_text())["pretrained"]
    assert (folder / "checkpoints/last.ckpt").stat().st_size < 2**21
    train(f"resume={folder}", "trainer.max_steps=4")
    at_once = train(*TINY_GAN, *options, "trainer.max_steps=4", name="at_once")
    same = [torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (folder, at_once)]
    assert all(torch.equal(tensor, same[1][name]) for name, tensor in same[0].items())
