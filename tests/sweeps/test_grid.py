"""Sweeps: failing jobs, restarted sweeps, several jobs at a time."""

import json
import os
import shlex
import signal
import threading

import pytest
import torch
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from omegaconf import OmegaConf

from sr_experiments.errors import SRError
from sr_experiments.sweeps import local
from sr_experiments.sweeps.summary import RecordingLauncher


def state_of(folder):
    return json.loads((folder / "summary.json").read_text())["state"]


def weights_of(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def rerun(said):
    """The arguments of the first command that reruns a failed job."""
    line = next(line for line in said.splitlines() if line.strip().startswith("rerun "))
    return shlex.split(line)[line.split().index("-m") :]


def test_a_sweep_runs_every_combination(sweep, tmp_path):
    done = sweep("model=srresnet,msrresnet", "loss=pixel,gan", "loss/pixel=mse", "trainer.max_steps=2")
    assert done.code == 0, done.err
    jobs = sorted((tmp_path / "sweep").glob("*_x4"))
    assert [job.name for job in jobs] == [
        "0_srresnet_pixel_x4",
        "1_srresnet_gan_x4",
        "2_msrresnet_pixel_x4",
        "3_msrresnet_gan_x4",
    ]
    assert all(state_of(job) == "finished" for job in jobs)
    assert "job 2 of 4: model=srresnet loss=gan\n" in done.err
    assert done.err.count("PSNR in dB, Y") == 1  # what the metrics measure is said once


@pytest.mark.slow
def test_the_last_table_shows_one_metric_of_all_jobs(sweep, tmp_path):
    done = sweep("trainer.monitor=ssim_y,psnr_y,psnr_y", "trainer.max_steps=2")
    assert done.code == 0, done.err
    *_, table = done.err.split("best sample/psnr_y")
    for number in range(3):
        [job] = (tmp_path / "sweep").glob(f"{number}_*")
        values = json.loads((job / "summary.json").read_text())["best"]["metrics"]
        [row] = [line for line in table.splitlines() if line.strip().startswith(job.name)]
        assert row.split()[-1] == f"{values['val/sample/psnr_y']:.2f}"
    assert "note: 0_msrresnet_pixel_x4: sample/ssim_y chose the best checkpoint" in table


def test_ctrl_c_before_a_run_has_begun_is_no_traceback(tmp_path, capsys):
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}})
    with pytest.raises(SystemExit) as stop, RecordingLauncher(BasicLauncher(), config, ["seed=1,2"]).results_on_exit():
        raise KeyboardInterrupt
    assert stop.value.code == 128 + signal.SIGINT
    assert f"-m seed=1,2 hydra.sweep.dir={tmp_path / 'sweep'}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_failing_job_does_not_end_the_sweep(sweep, tmp_path):
    done = sweep("optim.learning_rate=1e30,1e-4", "optim/schedule=constant", "trainer.max_steps=20")
    assert done.code == 1
    bad, good = sorted((tmp_path / "sweep").glob("*_x4"))
    assert [state_of(bad), state_of(good)] == ["failed", "finished"]
    assert f"{bad.name} failed: " in done.err and "became" in done.err
    assert f"sr compare {tmp_path / 'sweep'} -o report.html" in done.err
    assert "optim.learning_rate=1e+30" in rerun(done.err)
    fixed = [o for o in rerun(done.err)[1:] if "learning_rate" not in o]
    (bad / "checkpoints").rename(bad / "away") if (bad / "checkpoints").is_dir() else None
    assert sweep(*fixed, "optim.learning_rate=1e-4").code == 0
    assert state_of(bad) == "finished"


@pytest.mark.slow
def test_a_restarted_sweep_continues_and_repeats_nothing(sweep, tmp_path):
    choices = ("model=srresnet,msrresnet", "optim/schedule=constant")
    whole = sweep(*choices, f"hydra.sweep.dir={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    assert sweep(*choices, "trainer.max_steps=2").code == 0
    jobs = sorted((tmp_path / "sweep").glob("*_x4"))
    # As if it had been killed while it wrote its last words.
    (jobs[0] / "summary.json").write_text(json.dumps({"state": "running", "step": 2}))
    nothing = sweep(*choices, "trainer.max_steps=2")
    assert nothing.err.count("already finished") == 2 and state_of(jobs[0]) == "finished"
    assert sweep(*choices).code == 0  # four steps now
    for job in jobs:
        own, other = weights_of(job), weights_of(tmp_path / "whole" / job.name)
        assert own.keys() == other.keys() and all(torch.equal(own[k], other[k]) for k in own)
    refused = sweep(*choices, "seed=1")
    assert refused.code == 1
    assert refused.err.count("holds another run, seed=0, not 1: give another hydra.sweep.dir") >= 2


@pytest.mark.slow
def test_jobs_side_by_side_of_which_one_is_killed(sweep, tmp_path):
    folder = tmp_path / "sweep" / "1_msrresnet_pixel_x4"
    ended = threading.Event()

    def kill():
        while not ended.wait(0.05):
            rows = (folder / "metrics.csv").read_text().count("\n") if (folder / "metrics.csv").is_file() else 0
            if rows > 30:
                os.kill(json.loads((folder / "running.json").read_text())["pid"], signal.SIGKILL)
                return

    threading.Thread(target=kill).start()
    try:
        done = sweep("trainer.max_steps=4,200000", "trainer.val_every=1000000", "hydra/launcher=joblib")
    finally:
        ended.set()
    assert done.code == 1
    assert state_of(tmp_path / "sweep" / "0_msrresnet_pixel_x4") == "finished"
    assert "1_msrresnet_pixel_x4 failed: its process ended without a result" in done.err
    assert "step 2/" in (folder / "output.log").read_text()
    [last] = [o for o in rerun(done.err) if "max_steps" in o]
    assert last == "trainer.max_steps=200000"
    step = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["sr_experiments"]["step"]
    left = [o for o in rerun(done.err)[1:] if "max_steps" not in o and "launcher" not in o]
    assert sweep(*left, f"trainer.max_steps={step + 2}", "hydra/launcher=basic").code == 0
    assert state_of(folder) == "finished"


def test_a_run_is_not_trained_twice_at_once(sweep, tmp_path):
    assert sweep("trainer.max_steps=2").code == 0
    [job] = (tmp_path / "sweep").glob("*_x4")
    import psutil

    me = psutil.Process()
    own = {"host": os.uname().nodename, "pid": me.pid, "started": me.create_time()}
    (job / "running.json").write_text(json.dumps(own))
    done = sweep()
    assert done.code == 1 and f"{job} is being trained by another process" in done.err


def test_cores_and_gpus_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    slots = local._slots(3, 10)
    cores = [slot["SR_CORES"].split(",") for slot in slots]
    assert sorted((core for own in cores for core in own), key=int) == [str(i) for i in range(8)]
    assert [slot["OMP_NUM_THREADS"] for slot in slots] == [str(len(own)) for own in cores]
    assert len(local._slots("auto", 10)) == 2 and len(local._slots(20, 3)) == 3
    assert all("CUDA_VISIBLE_DEVICES" not in slot for slot in slots)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in local._slots("auto", 10)] == ["5", "7"]
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in local._slots(4, 10)] == ["5", "7", "5", "7"]
    for wrong in (0, -1, "many", True, 1.5):
        with pytest.raises(SRError, match="n_jobs="):
            local._slots(wrong, 4)
