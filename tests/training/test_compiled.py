"""trainer.compile=true: the same training, in other kernels."""

import csv

import pytest

from tests.conftest import TINY_GAN, TINY_MODEL
from tests.generators.test_esc import TINY as ESC

TRAININGS = {
    "rrdbnet": [*TINY_MODEL["rrdbnet"], "scale=2", "trainer.checkpoint_activations=true"],
    "esc": [*ESC, "trainer.checkpoint_activations=true"],
    "restoration": [*TINY_MODEL["unet"], "scale=1", "degradation=blur_down", "trainer.checkpoint_activations=true"],
    **{
        name: [*TINY_GAN, f"loss/discriminator={name}", "optim.clip_norm=1", "loss/perceptual=none"]
        for name in ("vgg", "unet", "patch")
    },
    "wgan_gp": [*TINY_GAN, "loss/adversarial=wgan_gp", "loss/perceptual=none"],
    "frvsr": [],
    "frvsr_gan": [*TINY_GAN, "loss/discriminator=tecogan", "loss/perceptual=none", "degradation=blur_down"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_compiled_networks_learn_as_others(train, name):
    losses = []
    for compiled in ("false", "true"):
        settings = [*TRAININGS[name], f"trainer.compile={compiled}"]
        folder = train(*settings, name=f"compiled_{compiled}", video=name.startswith("frvsr"))
        with (folder / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        losses.append([float(row["value"]) for row in rows if row["metric"].startswith(("loss/", "val/"))])
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
