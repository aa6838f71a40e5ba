"""Losses against values worked out by hand or by a few independent lines."""

import math

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from sr_experiments.losses import LOSSES
from sr_experiments.losses.adversarial import r1_penalty
from sr_experiments.losses.objective import OWN_SETTINGS, is_adversarial
from sr_experiments.registry import build
from sr_experiments.training.adversary import Adversary
from tests.conftest import ROOT

SR = torch.tensor([0.0, 0.5, 1.0, 0.25]).view(1, 1, 2, 2)
HR = torch.tensor([0.5, 0.5, 0.0, 0.5]).view(1, 1, 2, 2)


def arguments(group, name):
    config = yaml.safe_load((ROOT / f"conf/loss/{group}/{name}.yaml").read_text())
    return {k: v for k, v in config.items() if k not in OWN_SETTINGS}


def test_every_file_has_a_loss_and_every_loss_that_needs_one_a_file():
    files = {
        f for group in ("pixel", "perceptual", "adversarial", "terms") for f in (ROOT / "conf/loss" / group).glob("*")
    }
    names = {f: yaml.safe_load(f.read_text())["name"] for f in files}
    assert all(f.stem == name for f, name in names.items())
    of_clips = {"warp", "ping_pong"}  # named by the stages, without settings of their own
    of_flows = {"velocity", "boundary"}  # named by loss=flow and flow_distilled
    assert set(names.values()) == set(LOSSES) - of_clips - of_flows | {"none"}
    assert {f.stem for f in (ROOT / "conf/loss/adversarial").glob("*")} == {
        n for n in LOSSES if is_adversarial({"name": n})
    }


@pytest.mark.parametrize(("name", "value"), [("mse", 1.3125 / 4), ("l1", 1.75 / 4), ("charbonnier", 1.75 / 4)])
def test_pixel_losses_by_hand(name, value):
    loss = build("pixel loss", LOSSES, arguments("pixel", name))
    assert loss(SR, HR).item() == pytest.approx(value, abs=1e-5)
    sr = SR.double().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: loss(x, HR.double() + 0.05), sr)


def test_charbonnier_is_smooth_at_zero():
    sr = HR.clone().requires_grad_(True)
    build("pixel loss", LOSSES, {"name": "charbonnier", "eps": 1e-3})(sr, HR).backward()
    assert torch.equal(sr.grad, torch.zeros_like(sr))


REAL, FAKE = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [0.5]])


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ("name", "generator", "discriminator"),
    [
        ("vanilla", np.mean([softplus(1), softplus(-0.5)]),
         np.mean([softplus(-2), softplus(0)]) + np.mean([softplus(-1), softplus(0.5)])),
        ("lsgan", np.mean([4, 0.25]), np.mean([1, 1]) + np.mean([1, 0.25])),
        ("hinge", 0.25, np.mean([0, 1]) + np.mean([0, 1.5])),
        ("wgan_gp", 0.25, -0.25 - 1),
        # ESRGAN: D_ra(real) = real - mean(fake), D_ra(fake) = fake - mean(real); both halves averaged.
        ("relativistic",
         (np.mean(softplus(np.array([2.25, 0.25]))) + np.mean(softplus(-np.array([-2, -0.5])))) / 2,
         (np.mean(softplus(-np.array([2.25, 0.25]))) + np.mean(softplus(np.array([-2, -0.5])))) / 2),
    ],
)  # fmt: skip
def test_adversarial_losses_by_hand(name, generator, discriminator):
    loss = build("adversarial loss", LOSSES, arguments("adversarial", name))
    assert loss.generator(FAKE, REAL).item() == pytest.approx(generator, abs=1e-6)
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, abs=1e-6)


def test_label_smoothing_lowers_the_target_of_real_images_only():
    smooth = build("adversarial loss", LOSSES, {"name": "vanilla", "label_smoothing": 0.1})
    at_target = torch.tensor([[math.log(0.9 / 0.1)]])
    lower, higher = at_target - 0.1, at_target + 0.1
    best = smooth.discriminator(at_target, FAKE)
    assert best < smooth.discriminator(lower, FAKE)
    assert best < smooth.discriminator(higher, FAKE)
    plain = build("adversarial loss", LOSSES, {"name": "vanilla"})
    assert smooth.generator(FAKE) == plain.generator(FAKE)


def test_gradient_penalty_is_zero_for_slope_one_and_can_be_differentiated():
    loss = build("adversarial loss", LOSSES, {"name": "wgan_gp", "penalty_weight": 10.0})
    hr, sr = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)

    class Slope(nn.Module):
        def __init__(self, slope):
            super().__init__()
            self.weight = nn.Parameter(torch.full((16, 1), slope / 4))

        def forward(self, x):
            return x.flatten(1) @ self.weight

    assert loss.gradient_penalty(Slope(1.0), hr, sr).item() == pytest.approx(0, abs=1e-10)
    steep = Slope(3.0)
    penalty = loss.gradient_penalty(steep, hr, sr)
    assert penalty.item() == pytest.approx(10 * 4, rel=1e-5)
    penalty.backward()
    assert (steep.weight.grad > 0).all()
    assert build("adversarial loss", LOSSES, {"name": "hinge"}).gradient_penalty(steep, hr, sr) is None


def test_gradient_penalty_of_a_network_that_gives_bf16():
    loss = build("adversarial loss", LOSSES, {"name": "wgan_gp"})
    hr, sr, discriminator = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8).bfloat16(), nn.Conv2d(3, 1, 3)
    penalties = []
    for images in (sr, sr.float()):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            penalties.append(loss.gradient_penalty(discriminator, hr, images))
    torch.testing.assert_close(*penalties)


def test_r1_penalty_is_half_the_squared_slope_at_real_images_of_all_scales():
    weights = torch.rand(2, 48, generator=torch.Generator().manual_seed(0), requires_grad=True)

    class TwoScales(nn.Module):
        def forward(self, x):
            flat = x.flatten(1)
            return [(flat @ weights[0]).square()[:, None], (flat @ weights[1])[:, None]]

    real = torch.rand(3, 3, 4, 4)
    values = real.flatten(1).double().numpy() @ weights[0].detach().double().numpy()
    slopes = 2 * values[:, None] * weights[0].detach().numpy() + weights[1].detach().numpy()  # (3, 48)
    penalty = r1_penalty(TwoScales(), real)
    assert penalty.item() == pytest.approx((slopes**2).sum(1).mean() / 2, rel=1e-5)
    penalty.backward()
    assert (weights.grad != 0).all()


@pytest.mark.parametrize("name", ["vanilla", "relativistic", "hinge", "wgan_gp"])
def test_the_adversarys_loss_is_the_mean_of_its_scales_and_r1_comes_every_so_many_updates(name):
    """Against the loss of each scale by itself, for a discriminator of two scales."""
    torch.manual_seed(0)
    layers = nn.ModuleList(nn.Conv2d(3, 1, kernel) for kernel in (1, 3))
    discriminator = nn.Module()
    discriminator.forward = lambda x: [layer(x) for layer in layers]
    loss = build("adversarial loss", LOSSES, {"name": name, **({"penalty_weight": 0.0} if name == "wgan_gp" else {})})
    adversary = Adversary(loss, discriminator, every=2, r1_gamma=3.0, r1_every=2)
    fake, real = torch.rand(2, 2, 3, 5, 5)
    of_fake, of_real = ([layer(x) for layer in layers] for x in (fake, real))
    expected = sum(loss.discriminator(r, f) for r, f in zip(of_real, of_fake, strict=True)) / 2
    got = {step: adversary.discriminator_loss(fake, real, step) for step in (0, 2, 4)}
    torch.testing.assert_close(got[2][0], expected)
    torch.testing.assert_close(got[4][0], expected + 3 * 2 * r1_penalty(discriminator, real))
    assert [("loss/r1_penalty" in scalars) for _, scalars in got.values()] == [True, False, True]
    teaches = sum(loss.generator(f, r) for r, f in zip(of_real, of_fake, strict=True)) / 2
    torch.testing.assert_close(adversary.generator_loss(fake, real), teaches)
    accuracy = np.mean([float((r > f).float().mean()) for r, f in zip(of_real, of_fake, strict=True)])
    assert float(got[0][1]["gan/d_accuracy"]) == pytest.approx(accuracy)


def test_fft_loss_against_numpy():
    loss = build("loss", LOSSES, arguments("terms", "fft"))
    generator = torch.Generator().manual_seed(0)
    sr, hr = torch.rand(2, 2, 3, 12, 9, generator=generator)
    spectrum = np.fft.fft2(sr.numpy().astype(np.float64) - hr.numpy(), norm="ortho")[..., : 9 // 2 + 1]
    expected = (np.abs(spectrum.real) + np.abs(spectrum.imag)).mean() / 2
    assert loss(sr, hr).item() == pytest.approx(expected, rel=1e-5)
    assert loss(sr.bfloat16(), hr).isfinite()
    sr.requires_grad_(True)
    loss(sr, hr).backward()
    assert sr.grad.abs().sum() > 0
