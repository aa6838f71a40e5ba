"""conf/wandb_sweep.yaml: what W&B reads in it, and that its agent's command trains."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from tests.conftest import ROOT, TINY_MODEL, TINY_RUN

FILE = ROOT / "conf" / "wandb_sweep.yaml"


def sweep_config():
    from wandb.sdk.launch.sweeps.utils import load_sweep_config

    return load_sweep_config(str(FILE))


def test_its_parts_are_what_wandb_and_this_project_know():
    config = sweep_config()
    assert config["method"] == "bayes" and config["early_terminate"]["type"] == "hyperband"
    assert config["project"] == yaml.safe_load((ROOT / "conf/logger/wandb.yaml").read_text())["project"]
    assert not [key for key in config["parameters"] if not key.replace(".", "_").isidentifier()]  # W&B takes no others
    smallest = {k: v.get("value", v.get("min", v.get("values", [None])[0])) for k, v in config["parameters"].items()}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = compose("train", [f"{key}={value}" for key, value in smallest.items()])
    assert composed.optim.learning_rate == 1e-5 and composed.trainer.monitor == "psnr_y"
    validations = composed.trainer.max_steps // composed.trainer.val_every
    assert 1 <= config["early_terminate"]["min_iter"] < validations  # so that a trial can end early at all


def test_its_search_space_is_readable_to_wandb():
    optuna = pytest.importorskip("wandb.sdk.sweeps.scheduler.optuna", reason="needs a W&B that reads sweeps itself")
    pytest.importorskip("optuna")
    space = optuna.search_space_from_sweep_config(sweep_config()["parameters"])
    rate = space["optim.learning_rate"]
    assert (rate.low, rate.high, rate.log) == (1e-5, 2e-3, True)
    assert space["model.blocks"].choices == (4, 8, 16)


@pytest.mark.slow
def test_the_agents_command_trains_and_logs_the_metric(tmp_path, monkeypatch):
    """The agent itself starts the process; only what the server would say is made up."""
    from wandb.wandb_agent import Agent

    config = sweep_config()
    agent = Agent(api=None, queue=None)
    agent._sweep_command = config["command"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "agent"))
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1234567")
    monkeypatch.setenv("WANDB_RUN_ID", "")  # the agent sets it; given back after the test
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    sampled = {k: v.get("value", v.get("values", [3e-4])[0]) for k, v in config["parameters"].items()}
    tiny = [o for o in [*TINY_MODEL["msrresnet"], *TINY_RUN] if not o.startswith(("logger=", "model.blocks"))]
    tiny.append(f"output_dir={tmp_path}")
    given = {**dict(o.split("=", 1) for o in tiny), **sampled}
    agent._command_run(
        {"run_id": "r7654321", "program": config["program"], "args": {k: {"value": v} for k, v in given.items()}}
    )
    assert agent._run_processes["r7654321"].wait(timeout=240) == 0
    [summary] = tmp_path.glob("*/*/summary.json")
    told = json.loads(summary.read_text())
    assert told["state"] == "finished" and told["best"]["monitor"] == config["metric"]["name"]
    assert told["higher_is_better"]["psnr_y"] == (config["metric"]["goal"] == "maximize")
    trained = yaml.safe_load((summary.parent / "config.yaml").read_text())
    assert trained["optim"]["learning_rate"] == 3e-4 and trained["model"]["blocks"] == 4
    [run] = (summary.parent / "wandb").glob("offline-run-*-r7654321")
    [logged] = run.glob("run-r7654321.wandb")
    content = logged.read_bytes()
    assert config["metric"]["name"].encode() in content and b"s1234567" in content
