"""The training modules' own promises: EMA, accumulation, the frozen halves of a GAN step, GAN health."""

import copy
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.losses import LOSSES
from sr_experiments.losses.perceptual import PerceptualLoss
from sr_experiments.training.activations import checkpoint_activations
from sr_experiments.training.callbacks.gan_health import GANHealth
from sr_experiments.training.ema import ema_copy, ema_update
from tests.conftest import TINY_GAN, TINY_MODEL, others_slow
from tests.test_train_command import metrics_of


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


def test_the_last_update_is_in_the_average_though_its_batches_are_fewer(train):
    run = train("trainer.max_steps=3", "optim.accumulate=2", "optim.ema_decay=0.0")
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    averaged = {key.removeprefix("ema."): value for key, value in state.items() if key.startswith("ema.")}
    for key, value in averaged.items():
        torch.testing.assert_close(value, state[f"generator.{key}"])  # of no memory


class FakePerceptualLoss(PerceptualLoss):
    """No pretrained weights needed."""

    def __init__(self, layers=None, criterion="l1"):
        super().__init__()

    def forward(self, sr, hr):
        return (sr - hr).abs().mean()


@pytest.mark.parametrize(
    ("overrides", "weight"),
    [(["loss/perceptual=none"], 5.0), (["loss/perceptual=vgg19"], 0.01), (["loss.terms.pixel.weight=0.5"], 0.5)],
)
def test_without_a_perceptual_loss_the_pixel_loss_holds_the_picture(train, monkeypatch, overrides, weight):
    monkeypatch.setitem(LOSSES, "vgg19", FakePerceptualLoss)
    values = metrics_of(train(*TINY_GAN, *overrides, "trainer.max_steps=2", "trainer.log_every=1"))
    ratio = values["loss_weighted/pixel"][2] / values["loss/pixel"][2]
    assert ratio == pytest.approx(weight, rel=1e-3)


def kept_for_the_way_back(network, lr):
    """Bytes."""
    kept = {}

    def note(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        network(lr).mean().backward()
    return sum(kept.values())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("msrresnet", {"blocks": 12}),
        ("rrdbnet", {"blocks": 12}),
        ("unet", {"encoder_blocks": [6], "middle_blocks": 6, "decoder_blocks": [6]}),
        ("srresnet", {"blocks": 12}),
        ("compact", {"convolutions": 24}),
    ],
)
def test_activations_computed_again_take_less_memory_and_give_the_same_gradients(name, options):
    lr = torch.rand(2, 3, 24, 24)
    plain = GENERATORS[name](scale=2, features=8, **options)
    other = copy.deepcopy(plain)
    checkpoint_activations(other)
    assert kept_for_the_way_back(other, lr) < 0.7 * kept_for_the_way_back(plain, lr)
    for (key, a), b in zip(plain.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), key
    for (key, a), b in zip(plain.named_buffers(), other.buffers(), strict=True):  # of batch norm
        assert torch.equal(a, b), key


@pytest.mark.slow
def test_runs_with_activations_computed_again_end_with_the_same_weights(train):
    for model, settings in (("frvsr", []), ("srresnet", TINY_MODEL["srresnet"])):  # with batch norm
        ends = []
        for setting in ("true", "false"):
            again = f"trainer.checkpoint_activations={setting}"
            folder = train(*settings, again, name=f"{model}_{setting}", video=model == "frvsr")
            ends.append(torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
        assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[1])


def test_a_network_without_parts_to_compute_again_is_one_line():
    with pytest.raises(SRError, match="no stack of blocks"):
        checkpoint_activations(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()))
    with pytest.raises(SRError, match="can't compile the recomputation of this network's batch norm"):
        checkpoint_activations(GENERATORS["srresnet"](features=8, blocks=2), compiled=True)


@pytest.mark.parametrize("adversarial", ["vanilla", "relativistic", "lsgan", "hinge", "wgan_gp"])
@pytest.mark.parametrize("discriminator", others_slow(["unet"], ["vgg", "unet", "patch"]))
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


@pytest.mark.parametrize("native", [True, False])
def test_bf16_on_a_cpu_that_only_emulates_it_is_warned_of(train, monkeypatch, caplog, native):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    train("trainer.precision=bf16-mixed", "trainer.max_steps=1")
    assert any("doesn't compute in bf16" in record.getMessage() for record in caplog.records) == (not native)
