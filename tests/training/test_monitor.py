"""What decides the best checkpoint, and what a sweep searches for: the trainer and the sweeper agree."""

from collections.abc import Sequence

import pytest

from sr_experiments.errors import SRError
from sr_experiments.sweeps.optuna.objective import Objective, resolve_objectives
from sr_experiments.training.assemble import Assembly, assemble
from sr_experiments.training.trainer import monitored
from tests.conftest import TINY_GAN, TINY_MODEL, TINY_RUN, TINY_VIDEO, TINY_VIDEO_RUN, composed, others_slow

PIXEL = [*TINY_MODEL["msrresnet"], *TINY_RUN]
GAN = [*PIXEL, *TINY_GAN, "loss.terms.perceptual.name=none"]
VIDEO = [*TINY_VIDEO, *TINY_VIDEO_RUN]
VIDEO_GAN = [*VIDEO, *TINY_GAN, "loss.terms.perceptual.name=none"]
FLOW = [*VIDEO, "stages=[flow]"]
IMAGES_OF_VIDEO = [*TINY_MODEL["msrresnet"], *TINY_VIDEO_RUN, "data=sample_video", "trainer.max_steps=2"]


def both(overrides: Sequence[str], choice: str = "auto") -> tuple[Objective, str, Assembly]:
    with composed(overrides) as (of_sweep, of_run):
        [objective] = resolve_objectives(choice, of_sweep)
        assembly = assemble(of_run)
        wanted = of_run["trainer"]["monitor"] if choice == "auto" else choice
        return objective, monitored(wanted, of_run, assembly), assembly


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (PIXEL, "val/sample/psnr_y"),
        ([*PIXEL, "~metrics.psnr_y"], "val/sample/psnr_rgb"),
        ([*PIXEL, "~metrics.psnr_y", "channels=1"], "val/sample/ssim_y"),  # psnr_rgb comes first, and needs RGB
        ([*PIXEL, "trainer.monitor=val/sample/ssim_y"], "val/sample/ssim_y"),
        ([*PIXEL, "trainer.monitor=fine_detail"], "val/sample/fine_detail"),
        (GAN, "val/sample/psnr_y"),
        (VIDEO, "val/sample_video/psnr_y"),
        (VIDEO_GAN, "val/sample_video/psnr_y"),
        (FLOW, "val/sample_video/warp_psnr"),
        ([*FLOW, "trainer.monitor=flow_epe"], "val/sample_video/flow_epe"),
        ([*IMAGES_OF_VIDEO, "trainer.monitor=warping_error"], "val/sample_video/warping_error"),
    ],
)
def test_the_trainer_and_the_sweeper_agree(overrides, key):
    objective, monitor, assembly = both(overrides)
    assert monitor == key and objective.name.split("/")[-1] == key.split("/")[-1]
    assert objective.higher is assembly.module.validation.higher_is_better(monitor)


WITH_WEIGHTS = [
    (PIXEL, "val/sample/psnr_y"),
    (GAN, "val/sample/lpips_alex"),
    ([*GAN, "~metrics.lpips_alex"], "val/sample/psnr_y"),
    (VIDEO_GAN, "val/sample_video/lpips_alex"),
    (FLOW, "val/sample_video/warp_psnr"),
]


@pytest.mark.parametrize(("overrides", "key"), others_slow(WITH_WEIGHTS[:2], WITH_WEIGHTS))
def test_they_agree_where_there_are_weights(overrides, key, with_weights):
    objective, monitor, assembly = both(overrides)
    assert monitor == key and objective.name == key.split("/")[-1]
    assert objective.higher is assembly.module.validation.higher_is_better(monitor)


@pytest.mark.parametrize(
    ("overrides", "choice", "said"),
    [
        (PIXEL, "psnr_z", "psnr_z is not measured: choose one of psnr_y, psnr_rgb"),
        (PIXEL, "set5/psnr_y", r"or <set>/<metric>, of sample$"),
        (PIXEL, "tof", "tof is not measured: choose one of"),
        (PIXEL, "flow_epe", "flow_epe is not measured: choose one of"),
        (PIXEL, "lpips_alex", "lpips_alex is not measured: the alexnet weights are not on this machine"),
        ([*PIXEL, "channels=1"], "psnr_rgb", "psnr_rgb is not measured: it needs RGB"),
    ],
)
def test_both_refuse_what_is_not_measured(overrides, choice, said):
    with composed(overrides) as (of_sweep, of_run):
        with pytest.raises(SRError, match=rf"hydra.sweeper.objective=.*{said}"):
            resolve_objectives(choice, of_sweep)
        with pytest.raises(SRError, match=f"trainer.monitor=.*{said}"):
            monitored(choice, of_run, assemble(of_run))


def test_what_a_run_will_refuse_is_no_traceback_in_the_sweeper():
    with composed(VIDEO) as (config, _):
        for stages in ([], ["nonsense"], 3):
            with pytest.raises(SRError, match="stages"):
                resolve_objectives("auto", {**config, "stages": stages})
    with composed(PIXEL) as (config, _):
        data = {**config["data"], "train": 3, "val": {"a": 3}}
        assert resolve_objectives("a/psnr_y", {**config, "data": data}) == [Objective("a/psnr_y", True)]
        with pytest.raises(SRError, match=r"metrics.psnr_y is 3"):
            resolve_objectives("auto", {**config, "metrics": {"psnr_y": 3}})


def test_a_sweep_of_two_objectives_may_leave_the_first_to_the_run():
    with composed(PIXEL) as (config, _):
        assert resolve_objectives(["auto", "parameters"], config) == [
            Objective("psnr_y", True),
            Objective("parameters", False),
        ]
