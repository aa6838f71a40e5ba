"""A flow from a finished run, and its distillation: commands as a user types them."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from sr_experiments.checkpoints.loading import load_generator
from tests.conftest import TINY_MODEL
from tests.same_runs import assert_same_run, state
from tests.test_train_command import metrics_of

TINY_FLOW = [
    "model=flow",
    "loss=flow",
    "model.features=8",
    "model.middle_blocks=1",
    "loss.val_steps=[1,2]",
    "optim/schedule=constant",
]
DISTILLED = ["model=flow_distilled", "loss=flow_distilled", "loss.val_strengths=[0.5]", "optim/schedule=constant"]


def weights_of(folder: Path, part: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(part): tensor for name, tensor in state(folder)["state_dict"].items() if name.startswith(part)
    }


def assert_equal(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert some.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in some.items())


@pytest.fixture
def pixel_run(train):
    return train(*TINY_MODEL["srresnet"], "trainer.max_steps=2", name="pixel")  # with batch norm


def test_from_pixels_to_a_flow_to_one_step(train, pixel_run, sr):
    mse = load_generator(pixel_run)[0].state_dict()
    flow = train(*TINY_FLOW, f"init_from={{mse: {pixel_run}}}", "trainer.checkpoint_activations=true", name="flow")
    assert flow.parent.name == "flow_flow_x4"
    for network in ("generator.mse.", "ema.mse."):
        assert_equal(weights_of(flow, network), mse)
    (optimizer,) = state(flow)["optimizer_states"]
    assert len(optimizer["state"]) == len(list(load_generator(flow)[0].velocity.parameters()))
    values = metrics_of(flow)
    assert set(values["loss/velocity"]) == {1, 2, 3, 4} and "grad_norm/generator" in values
    for way in ("", "_steps1", "_steps2", "_bicubic"):
        assert set(values[f"val/sample/psnr_y{way}"]) == {2, 4}
    config = yaml.safe_load((flow / "config.yaml").read_text())
    assert config["model"]["mse"] == {"name": "srresnet", "features": 8, "blocks": 1}

    student = train(*DISTILLED, f"init_from={{teacher: {flow}}}", name="student")
    assert_equal(weights_of(student, "ema.mse."), mse)
    assert_equal(weights_of(student, "teacher."), weights_of(flow, "ema.velocity."))
    values = metrics_of(student)
    assert {"loss/velocity", "loss_weighted/boundary", "val/sample/psnr_y_strength0.5"} <= values.keys()

    told = sr("compare", flow, student, "--json")
    rows = {row["folder"]: row["ways"]["sample/psnr_y"] for row in json.loads(told.out)["runs"]}
    assert [list(ways) for ways in rows.values()] == [["steps1", "steps2"], ["strength0.5"]]
    assert "psnr_y: steps1" in sr("compare", flow, student, "--table").out


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_bits(train, pixel_run):
    source = f"init_from={{mse: {pixel_run}}}"
    whole = train(*TINY_FLOW, source, name="whole")
    stopped = train(*TINY_FLOW, source, "trainer.max_steps=2", name="stopped")
    pixel_run.rename(pixel_run.with_name("gone"))  # the flow has what it needs
    assert_same_run(train(f"resume={stopped}", "trainer.max_steps=4"), whole)
    whole = train(*DISTILLED, f"init_from={{teacher: {whole}}}", name="whole_student")
    stopped = train(*DISTILLED, f"init_from={{teacher: {stopped}}}", "trainer.max_steps=2", name="stopped_student")
    assert_same_run(train(f"resume={stopped}", "trainer.max_steps=4"), whole)


@pytest.mark.slow
def test_a_toy_flow_learns(train, pixel_run):
    flow = train(
        *TINY_FLOW, f"init_from={{mse: {pixel_run}}}", "model.patch=1", "trainer.max_steps=80", "trainer.val_every=80",
        "trainer.log_every=20", "optim.learning_rate=4e-3", name="flow",
    )  # fmt: skip
    losses = metrics_of(flow)["loss/velocity"]
    assert losses[80] < 0.8 * losses[20]


@pytest.mark.parametrize("arch", ["SPAN", "Compact"])
def test_the_mse_network_may_be_any_of_spandrels(train, weights, tmp_path, arch):
    """Known by its weights alone, as they are published."""
    from sr_experiments.generators.spandrel_arch import SpandrelGenerator

    options = {"SPAN": {"feature_channels": 8}, "Compact": {"num_feat": 8, "num_conv": 2}}[arch]
    published = {k.removeprefix("net."): v for k, v in SpandrelGenerator(4, arch, 3, options).state_dict().items()}
    torch.save(published, tmp_path / "published.pth")
    flow = train(*TINY_FLOW, f"init_from={{mse: {tmp_path / 'published.pth'}}}", "trainer.max_steps=2", name="flow")
    generator, _ = load_generator(flow)
    alone, _ = load_generator(tmp_path / "published.pth")
    lr = torch.rand(1, 3, 12, 14)
    torch.testing.assert_close(generator.mean(lr), alone(lr).clamp(0, 1))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (TINY_FLOW, "model=flow starts from a finished run or SR checkpoint: give init_from={mse: <run folder>}"),
        ([*TINY_FLOW, "init_from={run}"], "give init_from={mse: <run folder>}"),
        ([*TINY_FLOW, "init_from={{mse: {run}}}", "scale=2"], "has scale=4 channels=3, the run scale=2 channels=3"),
        (["model=flow", "init_from={{mse: {run}}}"], "loss=pixel has no term for the velocity that model=flow learns"),
        (["loss=flow", "init_from={run}"], "loss=flow trains model=flow, not msrresnet: set model=flow"),
        ([*DISTILLED, "init_from={{teacher: {run}}}"], "is no flow: give a run of loss=flow"),
        ([*DISTILLED, "init_from={{mse: {run}}}"], "give init_from={teacher: <run folder>}"),
        ([*TINY_FLOW, "init_from={{mse: {run}}}", "loss.val_steps=[0]"], "loss.val_steps"),
        ([*TINY_FLOW, "init_from={{mse: {run}}}", "+loss.val_strengths=[1.0]"], "loss.val_strengths has no effect"),
    ],
)
def test_what_a_flow_cannot_start_from_is_one_line(train, weights, tmp_path, capsys, overrides, said):
    run = weights("msrresnet", 4)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        train(*(o.format(run=run) if "{run}" in o else o for o in overrides), name="refused")
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "refused").exists()
