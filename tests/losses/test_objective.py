"""One objective of named terms, for images and clips, in stages or not: what is asked for is used, or refused."""

import json
import math

import pytest
import torch
from torch import nn

from sr_experiments.errors import SRError
from sr_experiments.losses import LOSSES
from sr_experiments.losses.objective import Objective, Outputs, Term, build_objective
from sr_experiments.losses.perceptual import PerceptualLoss
from tests.conftest import TINY_GAN
from tests.same_runs import state
from tests.test_train_command import metrics_of

FFT = "+loss.terms.fft={name: fft, weight: 0.1}"
NO_ADVERSARY = ["loss.discriminator.features=4", "loss.terms.adversarial.start=0", "loss.terms.adversarial.ramp=0"]


class Perceptual(PerceptualLoss):
    """In the place of VGG19, whose weights can't be had here."""

    def __init__(self, layers=None, criterion="l1"):
        super().__init__()

    def forward(self, sr, hr):
        return (sr - hr).abs().mean()


@pytest.fixture
def vgg19(monkeypatch):
    monkeypatch.setitem(LOSSES, "vgg19", Perceptual)


def steps_of(folder, metric):
    return sorted(metrics_of(folder).get(metric, {}))


# -- when and how much a term counts -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_a_term_rests_rises_and_stays(shape):
    term = Term(nn.Identity(), start=10, ramp=20, ramp_shape=shape)
    shares = [term.share(step) for step in range(50)]
    assert set(shares[:10]) == {0.0} and set(shares[30:]) == {1.0}
    assert all(0 < share < 1 for share in shares[10:30]) and shares == sorted(shares)
    middle = {"linear": 11 / 21, "cosine": 0.5 * (1 - math.cos(math.pi * 11 / 21))}[shape]
    assert shares[20] == pytest.approx(middle)
    assert Term(nn.Identity()).share(0) == 1.0


def test_the_objective_is_the_weighted_sum_of_its_terms():
    objective = build_objective(
        {"a": {"name": "l1", "weight": 2}, "b": {"name": "mse", "weight": 0.5, "ramp": 3}}, {}, {}
    )
    sr, hr = torch.tensor([0.0, 0.5]).view(1, 1, 1, 2), torch.tensor([1.0, 0.5]).view(1, 1, 1, 2)
    outputs = Outputs(lr=sr, hr=hr, target=hr, sr=sr)
    values = {name: objective.evaluate(name, outputs) for name in objective.due(0, objective.weights)}
    total, logged = objective.weighted_sum(values, objective.weights, step=0)
    assert total.item() == pytest.approx(2 * 0.5 + 0.25 * 0.5 * 0.5)
    assert logged["loss/b"].item() == pytest.approx(0.5)
    assert logged["loss_weighted/b"].item() == pytest.approx(0.25 * 0.25)


def test_losses_choose_what_they_compare_by_name():
    class OfLR(nn.Module):
        inputs = ("lr", "lr_clip", "sr_clip", "flow")

        def forward(self, lr, lr_clip, sr_clip, flow):
            assert lr.shape == (6, 3, 4, 4) and lr_clip.shape == (2, 3, 3, 4, 4) and sr_clip.shape == (2, 3, 3, 8, 8)
            return flow.mean()

    clips = torch.rand(2, 3, 3, 8, 8)
    outputs = Outputs(torch.rand(2, 3, 3, 4, 4), clips, clips, clips, flow=torch.ones(2, 2, 2, 4, 4))
    assert Objective({"x": Term(OfLR())}).evaluate("x", outputs) == 1


# -- any term with any network -----------------------------------------------------------------------------


def test_a_perceptual_term_trains_without_a_gan(train, vgg19):
    """SRResNet-VGG of the SRGAN paper."""
    folder = train("+loss/perceptual=vgg19", "loss.terms.perceptual.weight=0.25")
    values = metrics_of(folder)
    assert values["loss_weighted/perceptual"][1] == pytest.approx(values["loss/perceptual"][1] / 4)
    assert values["loss/generator"][1] == pytest.approx(values["loss/pixel"][1] + values["loss/perceptual"][1] / 4)
    assert len(torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["optimizer_states"]) == 1


def test_a_required_term_that_cannot_be_had_stops_any_run(train, capsys):
    with pytest.raises(SystemExit):
        train("+loss/perceptual=vgg19", "loss.terms.perceptual.required=true")
    assert "perceptual loss is required: the vgg19 weights are not on this machine" in capsys.readouterr().err


def test_a_second_term_beside_the_pixel_loss(train):
    folder = train(FFT, "+loss.terms.fft.start=2")
    assert steps_of(folder, "loss/fft") == [3, 4]
    assert steps_of(folder, "loss/pixel") == [1, 2, 3, 4]
    plain = train(name="plain")
    assert state(plain)["state_dict"].keys() == state(folder)["state_dict"].keys()
    assert not torch.equal(*(state(f)["state_dict"]["generator.conv_last.weight"] for f in (plain, folder)))


def test_a_term_from_its_yaml_file(train):
    assert steps_of(train("+loss/terms=fft"), "loss/fft") == [1, 2, 3, 4]
    assert steps_of(train("+loss/terms=ldl", "+loss.terms.ldl.start=2"), "loss/ldl") == [3, 4]


def test_a_term_at_every_other_step(train):
    assert steps_of(train(FFT, "+loss.terms.fft.every=2"), "loss/fft") == [1, 3]


def test_in_stages_a_term_that_no_stage_names_acts_wherever_sr_is_made(train):
    folder = train(FFT, video=True)
    assert steps_of(folder, "loss/fft") == [3, 4, 5, 6]
    assert metrics_of(folder)["loss_weighted/fft"][5] == pytest.approx(0.1 * metrics_of(folder)["loss/fft"][5])


def test_a_stage_that_names_a_term_decides_its_weight(train):
    folder = train(FFT, "+stage.joint.losses.fft=3", video=True)
    values = metrics_of(folder)
    assert steps_of(folder, "loss/fft") == [5, 6]
    assert values["loss_weighted/fft"][5] == pytest.approx(3 * values["loss/fft"][5])


def test_clips_are_compared_by_the_criterion_of_choice(train):
    folder = train("stages=[flow]", "+loss.terms.warp={name: warp, criterion: {name: mse}}", video=True)
    other = train("stages=[flow]", name="charbonnier", video=True)
    assert metrics_of(folder)["loss/warp"][1] < metrics_of(other)["loss/warp"][1] / 5


# -- the discriminator -------------------------------------------------------------------------------------


def updates(folder):
    return [int(s["state"][0]["step"]) for s in state(folder)["optimizer_states"]]


def test_the_discriminator_learns_at_each_so_many_th_step(train):
    options = ["loss=gan", *NO_ADVERSARY, "loss/perceptual=none", "trainer.max_steps=6"]
    folder = train(*options, "loss.discriminator.every=3")
    assert updates(folder) == [6, 2]
    assert steps_of(folder, "loss/discriminator") == [1, 4]
    assert steps_of(folder, "loss/adversarial") == [1, 2, 3, 4, 5, 6]


def test_a_discriminator_of_images_rests_while_it_is_ahead(train):
    options = ["loss=gan", *NO_ADVERSARY, "loss/perceptual=none"]
    folder = train(*options, "loss.discriminator.update_margin=-1000")
    assert not state(folder)["optimizer_states"][1]["state"]
    assert set(metrics_of(folder)["gan/d_updates"].values()) == {0.0}
    assert updates(train(*options, "loss.discriminator.update_margin=1000", name="free")) == [4, 4]


def test_an_adversarial_term_makes_any_run_a_gan(train):
    folder = train("+loss/adversarial=hinge", "+loss/discriminator=unet", "loss.discriminator.features=4")
    assert updates(folder) == [4, 4]
    assert json.loads((folder / "summary.json").read_text())["state"] == "finished"


# -- what is not used is an error --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+loss/discriminator=vgg"], "loss.discriminator is not used"),
        (["+loss/adversarial=hinge"], "loss.terms.adversarial needs a discriminator"),
        ([*TINY_GAN, "~loss/adversarial"], "loss.terms.adversarial.name is not set"),
        (["+loss.terms.warp={name: warp}"], "loss.terms.warp compares flow and lr_clip, which training MSRResNet"),
        (["loss/pixel=l1", "loss.terms.pixel.weight=auto"], "loss.terms.pixel.weight=auto"),
        (["+loss.terms.pixel.start=2"], "some steps have no term to train on"),
        ([*TINY_GAN, "+loss.terms.second={name: hinge}"], "2 adversarial terms, adversarial and second"),
        (["+loss.terms.fft={name: ffd}"], "loss.terms.fft.name is 'ffd'"),
        (["+loss.terms.fft={name: fft, size: 3}"], "size"),
        ([*TINY_GAN, "loss.discriminator.every=2", "optim.accumulate=2"], "loss.discriminator.every"),
        ([*TINY_GAN, "loss.discriminator.r1_gamma=1"], "set loss.discriminator.norm=none or instance"),
    ],
)
def test_terms_that_would_not_be_used_are_refused(train, capsys, overrides, message):
    with pytest.raises(SystemExit) as stop:
        train(*overrides)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("video", [False, True])
def test_a_term_that_starts_after_the_end_is_left_out_aloud(train, caplog, video):
    folder = train(FFT, "+loss.terms.fft.start=4", video=video)
    why = f"it starts at step 4 of {2 if video else 4}: train longer, or set loss.terms.fft.start=0"
    assert json.loads((folder / "summary.json").read_text())["left_out"]["fft loss"] == why
    assert f"fft loss is LEFT OUT: {why}" in caplog.text
    assert (folder / "checkpoints/best.ckpt").is_file(), "the last step is as good as it gets"


def test_terms_of_stages_that_are_not_run_are_refused(train, capsys):
    for overrides, message in (
        (["+loss.terms.fft={name: fft}", "stages=[flow]"], "loss.terms.fft is used by none of stages=[flow]"),
        ([*TINY_GAN, "stages=[flow]"], "loss.terms.perceptual is used by none of stages=[flow]"),
        (["+stage.joint.losses.fftt=1"], "stage.joint.losses has no 'fftt': did you mean fft?"),
    ):
        with pytest.raises(SystemExit):
            train(*overrides, video=True)
        assert message in capsys.readouterr().err


def test_a_term_that_is_left_out_may_have_an_automatic_weight(train):
    folder = train(*TINY_GAN, "loss.terms.perceptual.weight=auto", "trainer.max_steps=2")
    assert "perceptual loss" in json.loads((folder / "summary.json").read_text())["left_out"]


def test_auto_weights_need_a_gan():
    with pytest.raises(SRError, match="give a number"):
        build_objective({"pixel": {"name": "l1", "weight": "auto"}}, {}, {})
