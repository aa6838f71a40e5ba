"""The training modules' own promises: EMA, accumulation, the frozen halves of a GAN step, GAN health."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sr_experiments.training.callbacks.gan_health import GANHealth
from sr_experiments.training.ema import ema_copy, ema_update
from tests.conftest import TINY_GAN


def test_ema_follows_the_recursion_and_copies_buffers():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ema = ema_copy(network)
    expected = network[0].weight.detach().numpy().copy()
    for t in range(200):
        with torch.no_grad():
            network[0].weight.add_(0.1)
            network[1].running_mean.add_(1.0)
        ema_update(ema, network, 0.9, t)
        d = min(0.9, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * network[0].weight.detach().numpy()
    np.testing.assert_allclose(ema[0].weight.numpy(), expected, rtol=1e-4)
    assert torch.equal(ema[1].running_mean, network[1].running_mean)
    assert not any(p.requires_grad for p in ema.parameters())


def test_accumulated_halves_equal_the_whole_batch(train):
    """Without batch norm, two batches of 2 accumulated are one batch of 4."""
    whole = train("data.batch_size=4", "trainer.max_steps=2", "optim/schedule=constant", name="whole")
    halves = train(
        "data.batch_size=2", "trainer.max_steps=4", "optim.accumulate=2", "optim/schedule=constant", name="halves"
    )
    a, b = (torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (whole, halves))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("adversarial", ["vanilla", "relativistic", "lsgan", "hinge", "wgan_gp"])
@pytest.mark.parametrize("discriminator", ["vgg", "unet", "patch"])
def test_every_adversarial_loss_trains_every_discriminator(train, adversarial, discriminator):
    options = [o for o in TINY_GAN if "discriminator.features" not in o]
    folder = train(
        *options,
        f"loss/adversarial={adversarial}",
        f"loss/discriminator={discriminator}",
        "loss.discriminator.features=4",
        "trainer.max_steps=3",
        "trainer.val_every=3",
    )
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert len(checkpoint["optimizer_states"]) == 2
    assert all(state["state"] for state in checkpoint["optimizer_states"])


class _Record:
    log_every = 10

    def __init__(self):
        self.latest = {}


class _Module:
    step = 0


@pytest.mark.parametrize(("accuracy", "word"), [(1.0, "won"), (0.4, "lost"), (0.8, None)])
def test_gan_health_warns_of_a_long_spell_only(caplog, accuracy, word):
    record, module = _Record(), _Module()
    health = GANHealth(record, patience=100)
    with caplog.at_level(logging.WARNING):
        for module.step in range(1, 301):
            # A healthy game interrupted by bad intervals shorter than the patience must not warn.
            spell = accuracy if module.step > 150 else (1.0 if module.step % 50 < 20 else 0.8)
            record.latest = {"gan/d_accuracy": spell, "gan/margin": 1.0}
            health.on_train_batch_end(SimpleNamespace(loggers=[]), module, None, None, 0)
    warnings = [r.getMessage() for r in caplog.records]
    assert len(warnings) == (1 if word else 0)
    assert all(word in w for w in warnings)
