"""trainer.compile=true: the same training, in other kernels."""

import csv

import pytest

from tests.conftest import TINY_GAN, TINY_MODEL
from tests.generators.test_esc import TINY as ESC
from tests.training.test_flow_training import TINY_FLOW

TRAININGS = {
    "srresnet": TINY_MODEL["srresnet"],
    "msrresnet": [],
    "compact": ["model=compact", "model.features=8", "model.convolutions=8", "trainer.checkpoint_activations=true"],
    "rrdbnet": [*TINY_MODEL["rrdbnet"], "scale=2", "trainer.checkpoint_activations=true"],
    "esc": [*ESC, "trainer.checkpoint_activations=true"],
    "restoration": [*TINY_MODEL["unet"], "scale=1", "degradation=blur_down", "trainer.checkpoint_activations=true"],
    **{
        name: [*TINY_GAN, f"loss/discriminator={name}", "optim.clip_norm=1", "loss/perceptual=none"]
        for name in ("vgg", "unet", "patch")
    },
    "wgan_gp": [*TINY_GAN, "loss/adversarial=wgan_gp", "loss/perceptual=none"],
    "basicvsr_uni": ["model.flow=net", "trainer.checkpoint_activations=true"],
    "frvsr_gan": [*TINY_GAN, "loss/discriminator=tecogan", "loss/perceptual=none", "degradation=blur_down"],
}
LONG = ("rrdbnet", "esc", "restoration", "basicvsr_uni", "frvsr_gan")  # to compile: a minute or more


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.compile if name in LONG else pytest.mark.slow) for name in TRAININGS],
)
def test_compiled_networks_learn_as_others(train, name):
    losses = []
    for compiled in ("false", "true"):
        settings = [*TRAININGS[name], f"trainer.compile={compiled}"]
        video = {"frvsr_gan": "frvsr", "basicvsr_uni": "basicvsr_uni"}.get(name, False)
        losses.append(values_of(train(*settings, name=f"compiled_{compiled}", video=video)))
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


@pytest.mark.compile
def test_a_compiled_flow_learns_as_others(train):
    start, losses = train("trainer.max_steps=2", name="mse"), []
    for compiled in ("false", "true"):
        settings = [*TINY_FLOW, f"init_from={{mse: {start}}}", f"trainer.compile={compiled}"]
        losses.append(values_of(train(*settings, name=f"flow_{compiled}")))
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def values_of(folder):
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(row["value"]) for row in rows if row["metric"].startswith(("loss/", "val/"))]
