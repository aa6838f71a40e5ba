"""The alert of a collapsed GAN, on trainings that collapse and on one that doesn't."""

import logging

import pytest
import wandb

from sr_experiments.generators.msrresnet import MSRResNet
from tests.conftest import gan_schedule
from tests.test_train_command import metrics_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

GAN = [
    "loss=gan",
    "loss/perceptual=none",
    "loss.discriminator.features=8",
    *gan_schedule(10, 10),
    "callbacks.gan_health.patience=60",
    "optim/schedule=constant",
    "trainer.max_steps=300",
    "trainer.val_every=300",
    "trainer.checkpoint_every=300",
    "trainer.log_every=10",
    "data.batch_size=8",
    "logger=wandb",
]


@pytest.fixture
def alerts(monkeypatch):
    sent = []
    monkeypatch.setattr(wandb.Run, "alert", lambda self, title, text, level: sent.append(title))
    return sent


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.name.endswith("gan_health") and r.levelno == logging.WARNING]


def test_a_healthy_game_is_left_in_peace(train, caplog, alerts):
    # Real and fake of so small a network are easily told apart: a discriminator at the generator's rate does win. At
    # this one it orders .56 to .90 of the pairs in any 100 steps with seeds 0 to 3; at 2e-5 some learn nothing at all.
    fair = ["loss.terms.pixel.weight=1", "optim.discriminator_learning_rate=5e-5", "callbacks.gan_health.patience=100"]
    folder = train(*GAN, *fair)
    accuracy = metrics_of(folder)["gan/d_accuracy"]
    assert len(accuracy) >= 28 and not warnings(caplog) and not alerts, accuracy


def test_a_generator_that_gives_a_constant_has_lost(train, caplog, alerts, monkeypatch):
    original = MSRResNet.forward
    monkeypatch.setattr(MSRResNet, "forward", lambda self, lr: 0 * original(self, lr) + 0.5)
    train(*GAN, "optim.discriminator_learning_rate=1e-3")
    assert any("the discriminator has won" in text for text in warnings(caplog))
    assert [title.split(":")[0] for title in alerts] == ["discriminator has won"]


def test_a_discriminator_with_an_absurd_rate_has_lost(train, caplog, alerts):
    train(*GAN, "optim.discriminator_learning_rate=10")
    assert any("the discriminator has lost" in text for text in warnings(caplog))
    assert [title.split(":")[0] for title in alerts] == ["discriminator has lost"]
