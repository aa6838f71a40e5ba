"""Every optimiser against its paper's formulae in NumPy, and in runs: average, groups, errors."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sr_experiments.checkpoints.reading import read
from sr_experiments.packages.extras import install_extra
from sr_experiments.training.optimizers import make_optimizers
from sr_experiments.training.optimizers.muon import KernelMuon
from sr_experiments.training.optimizers.schedule_free import average_into
from tests.conftest import others_slow
from tests.same_runs import assert_same, state

RATE, DECAY, STEPS = 0.01, 0.1, 5


def network(kind=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.Conv2d(4, 4, 1)).to(kind)


def trained(name, gradients, kind=torch.float64, **options):
    """Parameters of the small network after updates with given gradients, and its optimisers."""
    net = network(kind)
    optimizers = make_optimizers(net, {"name": name, "weight_decay": DECAY, **options}, RATE)
    for of_step in gradients:
        for parameter, gradient in zip(net.parameters(), of_step, strict=True):
            parameter.grad = torch.tensor(gradient, dtype=kind)  # a copy: some optimisers change it
        for optimizer in optimizers:
            optimizer.step()
    return net, optimizers


@pytest.fixture
def gradients():
    random = np.random.default_rng(0)
    return [[random.normal(size=tuple(p.shape)) for p in network().parameters()] for _ in range(STEPS)]


def by_formula(update, gradients, decay_of=lambda shape: DECAY if len(shape) > 1 else 0.0):
    """Parameters after `update(weights, their gradients of all steps, their decay)` gave them."""
    starts = [p.detach().numpy().copy() for p in network().parameters()]
    return [update(w, [of[i] for of in gradients], decay_of(w.shape)) for i, w in enumerate(starts)]


def assert_close(net, expected, rtol=1e-9):
    for parameter, values in zip(net.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), values, rtol=rtol, atol=rtol)


def adamw(w, gradients, decay, betas=(0.9, 0.99)):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        w = w * (1 - RATE * decay)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        w = w - RATE * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + 1e-8)
    return w


def test_adamw_decays_kernels_and_not_biases_or_prelus_slopes(gradients):
    assert_close(trained("adamw", gradients, decay_biases=False)[0], by_formula(adamw, gradients))
    assert_close(trained("adamw", gradients)[0], by_formula(adamw, gradients, lambda shape: DECAY))


@pytest.mark.parametrize("name", ["adam", "adamw", "adan", "muon", "soap"])
def test_betas_may_be_whole_numbers_as_yaml_has_them(name, gradients):
    """torch refuses lists, and a whole number next to a fraction."""
    betas = [0, 0, 0.99] if name == "adan" else [0, 0.99]
    net, _ = trained(name, gradients, betas=betas)
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_adan(gradients):
    def adan(w, gradients, decay, betas=(0.98, 0.92, 0.99)):
        m, d, v = (np.zeros_like(w) for _ in range(3))
        for t, g in enumerate(gradients, 1):
            change = g - gradients[t - 2] if t > 1 else np.zeros_like(g)
            m, d = betas[0] * m + (1 - betas[0]) * g, betas[1] * d + (1 - betas[1]) * change
            v = betas[2] * v + (1 - betas[2]) * (g + betas[1] * change) ** 2
            ahead = m / (1 - betas[0] ** t) + betas[1] * d / (1 - betas[1] ** t)
            w = (w - RATE * ahead / (np.sqrt(v / (1 - betas[2] ** t)) + 1e-8)) / (1 + RATE * decay)
        return w

    assert_close(trained("adan", gradients)[0], by_formula(adan, gradients))


def test_schedule_free_adamw_and_its_average(gradients):
    def schedule_free(w, gradients, decay, betas=(0.9, 0.99), average=True):
        x, z, v = w, w, np.zeros_like(w)
        for t, g in enumerate(gradients, 1):
            y = (1 - betas[0]) * z + betas[0] * x
            v = betas[1] * v + (1 - betas[1]) * g**2
            z = z - RATE * (g / (np.sqrt(v / (1 - betas[1] ** t)) + 1e-8) + decay * y)
            x = (1 - 1 / t) * x + z / t
        return x if average else (1 - betas[0]) * z + betas[0] * x

    net, optimizers = trained("schedule_free_adamw", gradients)
    average = network()
    average_into(average, net, optimizers)
    assert_close(average, by_formula(schedule_free, gradients))
    assert_close(net, by_formula(lambda *args: schedule_free(*args, average=False), gradients))


def test_soap_is_adam_in_the_eigenbasis(gradients):
    """For the 1x1 convolution: with bases of the first gradient, which are not renewed."""
    net, _ = trained("soap", gradients, frequency=1000)
    w, g = network()[2].weight.detach().numpy()[..., 0, 0], [of[3][..., 0, 0] for of in gradients]
    left, right = (np.linalg.eigh(a)[1][:, ::-1] for a in (g[0] @ g[0].T, g[0].T @ g[0]))
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, of_step in enumerate(g[1:], 1):
        m, v = 0.95 * m + 0.05 * of_step, 0.95 * v + 0.05 * (left.T @ of_step @ right) ** 2
        rate = RATE * math.sqrt(1 - 0.95**t) / (1 - 0.95**t)
        w = w - rate * left @ ((left.T @ m @ right) / (np.sqrt(v) + 1e-8)) @ right.T
        w = w * (1 - RATE * DECAY)
    # Kernels have two more bases, of one dimension, whose signs cancel.
    np.testing.assert_allclose(net[2].weight.detach().numpy()[..., 0, 0], w, rtol=1e-6)


def test_muon_makes_updates_of_kernels_orthogonal_and_leaves_the_rest_to_adamw(gradients):
    """One update of each kernel has singular values near 1 times AdamW's size; layouts make no difference."""
    net, optimizers = trained("muon", gradients[:1], torch.float32, weight_decay=0.0)
    assert [type(optimizer) for optimizer in optimizers] == [KernelMuon, torch.optim.AdamW]
    start = network(torch.float32)
    for i in (0, 2):
        update = (start[i].weight - net[i].weight).detach().flatten(1) / RATE
        values = torch.linalg.svdvals(update) / (0.2 * math.sqrt(max(update.shape)))
        assert (values - 1).abs().max() < 0.35
    expected = by_formula(lambda *args: adamw(*args[:2], 0.0), gradients[:1])
    np.testing.assert_allclose(net[1].weight.detach().numpy(), expected[2], rtol=1e-5)

    other = network(torch.float32).to(memory_format=torch.channels_last)
    [of_kernels, _] = make_optimizers(other, {"name": "muon"}, RATE)
    for parameter, gradient in zip(other.parameters(), gradients[0], strict=True):
        parameter.grad = torch.from_numpy(gradient).float()
        if parameter.ndim == 4:
            parameter.grad = parameter.grad.contiguous(memory_format=torch.channels_last)
    of_kernels.step()
    assert torch.equal(other[0].weight, net[0].weight)
    of_kernels.zero_grad()
    assert other[0].weight.grad is None and other[1].weight.grad is not None


def test_muon_leaves_depthwise_kernels_and_classifiers_to_adamw():
    layers = {"body": nn.Conv2d(4, 4, 3), "depthwise": nn.Conv2d(4, 4, 3, groups=4), "classifier": nn.Linear(4, 4)}
    of_kernels, rest = make_optimizers(nn.ModuleDict(layers), {"name": "muon"}, RATE)
    assert isinstance(of_kernels, KernelMuon) and of_kernels.kernels == [layers["body"].weight]
    assert sum(len(group["params"]) for group in rest.param_groups) == 5


def test_muon_momentum_is_that_of_the_paper(gradients):
    net, _ = trained("muon", gradients, iterations=1, weight_decay=0.0)
    w, mean = network()[0].weight.detach().numpy().reshape(4, -1), 0.0
    for of_step in gradients:
        g = of_step[0].reshape(4, -1)
        mean = 0.95 * mean + 0.05 * g
        x = 0.05 * g + 0.95 * mean
        x = x / np.linalg.norm(x)
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        w = w - RATE * 0.2 * math.sqrt(27) * x
    found = net[0].weight.detach().numpy().reshape(4, -1)
    start = network()[0].weight.detach().numpy().reshape(4, -1)
    np.testing.assert_allclose(found - start, w - start, atol=0.02 * abs(w - start).max())  # it computes in bf16


@pytest.mark.parametrize("name", others_slow(["adan"], ["adan", "schedule_free_adamw", "soap"]))  # muon: test_resume.py
def test_a_stopped_gan_ends_with_the_bits_of_a_whole_one(train, name):
    options = [f"optim={name}", "loss=gan", "loss/perceptual=none", "loss.discriminator.features=4", "metrics=default"]
    options += ["loss.terms.adversarial.start=0", "loss.terms.adversarial.ramp=0", "optim.weight_decay=0.1"]
    options += ["optim/schedule=constant", "trainer.val_every=100", "~metrics.lpips_alex", "callbacks.samples.count=0"]
    options += ["trainer.precision=bf16-mixed"]  # in which an optimiser computes in fp32
    folder = train(*options, "trainer.max_steps=3")
    train(f"resume={folder}", "trainer.max_steps=5")
    assert_same(
        state(folder), state(train(*options, "trainer.max_steps=5", "trainer.checkpoint_every=1", name="whole"))
    )
    assert all(one["state"] for one in state(folder)["optimizer_states"])


def test_the_average_of_schedule_free_adamw_is_validated_saved_and_read(train):
    folder = train("optim=schedule_free_adamw", "optim.learning_rate=1e-2", "optim.warmup_steps=0")
    saved = state(folder)
    (optimizer,) = saved["optimizer_states"]
    names = [key.removeprefix("generator.") for key in saved["state_dict"] if key.startswith("generator.")]
    kernels = [name for name in names if saved["state_dict"][f"generator.{name}"].ndim == 4]
    read_back = read(folder / "checkpoints/last.ckpt").state_dict
    for i, name in enumerate(kernels):
        y, z = saved["state_dict"][f"generator.{name}"], optimizer["state"][i]["z"]
        x = y + (z - y) * (1 - 1 / 0.9)
        torch.testing.assert_close(read_back[name], x)
        assert not torch.equal(x, y)


@pytest.mark.slow
def test_each_stage_begins_the_average_anew_from_what_it_was(train):
    stages = ["stages=[sr,sr]", "model.flow=lucas_kanade", "optim.warmup_steps=0"]
    folder = train("optim=schedule_free_adamw", *stages, video=True)
    first, last = (torch.load(folder / f"checkpoints/{n}.ckpt", weights_only=True) for n in ("stage_1_sr", "last"))
    for before, after in zip(first["optimizer_states"], last["optimizer_states"], strict=True):
        weights = [[group["weight_sum"] for group in one["param_groups"]] for one in (before, after)]
        assert weights[0] == weights[1], "of the steps of one stage"
        assert {group["k"] for group in after["param_groups"]} == {4}
    whole = train("optim=schedule_free_adamw", *stages, "trainer.checkpoint_every=100", name="whole", video=True)
    assert_same(state(whole), state(folder))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["optim=schedule_free_adamw", "optim.ema_decay=0.9"], "set optim.ema_decay=null"),
        (["optim=schedule_free_adamw", "model=srresnet"], "statistics of batch norm"),
        (["optim=adan", "optim.betas=[0.9,0.99]"], "optim.betas is [0.9, 0.99]: give three numbers"),
        (["optim=muon", "optim.frequency=2"], "optim has no frequency"),
        (["optim.name=lion"], "give adam, adamw, adan, muon, schedule_free_adamw or soap"),
    ],
)
def test_what_does_not_go_together_is_one_line(train_py, options, says):
    outcome = train_py("logger=none", *options)
    assert outcome.code == 2 and outcome.err.count("error:") == 1 and says in outcome.err


def test_a_missing_package_is_named(train_py, monkeypatch):
    monkeypatch.setitem(sys.modules, "schedulefree", None)
    outcome = train_py("logger=none", "optim=schedule_free_adamw", "model.features=8", "model.blocks=1")
    assert outcome.code == 2 and install_extra("optimizers") in outcome.err


@pytest.mark.parametrize(
    ("override", "says"),
    [("optim=soap", "checkpoint is of optim.name=adamw, the run of soap"), ("optim.decay_biases=true", "groups")],
)
def test_a_run_goes_on_with_its_own_optimizer(train, capsys, override, says):
    folder = train("optim=adamw", "trainer.max_steps=1", "callbacks.samples.count=0")
    with pytest.raises(SystemExit):
        train(f"resume={folder}", "trainer.max_steps=2", override)
    assert says in capsys.readouterr().err
