"""Run folders of earlier versions: their configurations are read in today's layout, and resume to the same bits."""

import copy
from pathlib import Path

import pytest
import yaml

from sr_experiments.config.upgrade import upgraded
from sr_experiments.runs.reading import read_config
from tests.conftest import TINY_GAN, gan_schedule
from tests.same_runs import assert_same, state

STORED = Path(__file__).parent / "stored"  # config.yaml as written by the version before `loss.terms`


def stored(name, tmp_path):
    (tmp_path / "config.yaml").write_text((STORED / f"{name}.yaml").read_text())
    return read_config(tmp_path)


def test_the_pixel_loss_becomes_a_term(tmp_path):
    assert stored("pixel", tmp_path)["loss"] == {"name": "pixel", "terms": {"pixel": {"name": "l1", "weight": 1.0}}}


def test_warm_up_and_ramp_become_the_terms_own(tmp_path):
    loss = stored("gan", tmp_path)["loss"]
    assert list(loss["terms"]) == ["pixel", "perceptual", "adversarial"]
    assert loss["terms"]["pixel"] == {"name": "mse", "weight": "auto"}
    assert loss["terms"]["perceptual"]["start"] == 10 and loss["terms"]["perceptual"]["layers"] == {"conv5_4": 1.0}
    assert loss["terms"]["adversarial"] == {
        "name": "wgan_gp", "weight": 0.005, "penalty_weight": 10.0, "start": 10, "ramp": 40, "ramp_shape": "linear"
    }  # fmt: skip
    assert loss["discriminator"] == {
        "name": "vgg", "features": 4, "norm": "none", "every": 1, "update_margin": None
    }  # fmt: skip


def test_warp_and_ping_pong_keep_the_pixel_losss_criterion_and_the_order_of_the_sum(tmp_path):
    config = stored("video", tmp_path)
    criterion = {"name": "charbonnier", "eps": 1e-6}
    assert config["loss"]["terms"]["warp"] == {"name": "warp", "criterion": criterion}
    assert config["loss"]["terms"]["ping_pong"] == {"name": "ping_pong", "criterion": criterion}
    assert list(config["stage"]["joint"]["losses"]) == ["pixel", "warp"]
    assert list(config["stage"]["joint"]["gan_losses"]) == ["ping_pong", "perceptual", "adversarial"]


def test_the_degradation_step_any_order_is_random_order_now():
    final = {"name": "any_order", "groups": [[{"name": "resize", "of": "lr"}], [{"name": "jpeg"}]]}
    degradation = {"name": "real_esrgan", "stages": [{"name": "blur"}, final]}
    stages = upgraded({"degradation": degradation})["degradation"]["stages"]
    assert stages == [{"name": "blur"}, {**final, "name": "random_order"}]


def test_a_configuration_of_today_stays_as_it_is(train, tmp_path):
    config = yaml.safe_load((train() / "config.yaml").read_text())
    assert upgraded(copy.deepcopy(config)) == config


@pytest.mark.parametrize("name", ["pixel", "gan", pytest.param("video", marks=pytest.mark.slow)])
def test_a_run_made_before_resumes_to_the_same_bits(train, name):
    options = ["optim/schedule=constant", "trainer.val_every=100"]
    video = name == "video"
    length = {"video": "stage.joint.steps"}.get(name, "trainer.max_steps")
    if name != "pixel":
        options += [*TINY_GAN, *gan_schedule(1, 3)]
    folder = train(*options, f"{length}=2", name="stopped", video=video)
    before = yaml.safe_load((STORED / f"{name}.yaml").read_text())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    loss = before["loss"]
    if name == "pixel":
        loss["pixel"]["name"] = "mse"
    else:
        loss |= {"warmup_steps": 1, "ramp_steps": 3}
        loss["adversarial"] = {"name": "vanilla", "weight": 5e-3, "label_smoothing": 0.0}
        loss["discriminator"] = {"name": "vgg", "features": 4, "norm": "batch"}
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "loss": loss}, sort_keys=False))
    train(f"resume={folder}", f"++{length}=6")
    assert_same(state(folder), state(train(*options, f"{length}=6", name="whole", video=video)))
