"""`hydra/launcher=slurm` and `trainer=slurm` on a real Slurm: whatever it does to jobs, they end with the same bits."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.conftest import ROOT, TINY_MODEL, TINY_RUN

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

ON_SLURM = [
    "hydra/launcher=slurm",
    "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.timeout_min=20",
]
STEPS = 1000
LONG = [f"trainer.max_steps={STEPS}", "trainer.val_every=500", "trainer.checkpoint_every=100", "trainer.log_every=20"]


def start(slurm, folder, *arguments):
    """`python train.py -m ...`, going on beside the test."""
    command = [sys.executable, "train.py", "-m", *TINY_MODEL["msrresnet"], *TINY_RUN, *LONG, *arguments]
    log = (folder.parent / f"{folder.name}.log").open("w+")
    command.append(f"hydra.sweep.dir={folder}")
    return subprocess.Popen(command, cwd=ROOT, env={**slurm.env, "COLUMNS": "200"}, stdout=log, stderr=log), log


def until(there, what, seconds=600):
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, f"no {what} after {seconds} s"
        time.sleep(0.2)


def step_of(run):
    rows = (run / "metrics.csv").read_text().splitlines() if (run / "metrics.csv").is_file() else []
    return int(rows[-1].split(",")[0]) if len(rows) > 1 else 0


def hold(runs, count):
    """Stop `count` runs in their midst, where they stay until Slurm continues them to end them.

    However fast the machine is, they have not ended by then. Slurm sends SIGCONT before SIGTERM.
    """
    held = set()

    def all_held():
        for run in runs():
            if run not in held and step_of(run) >= 200:
                process_of(run).suspend()
                held.add(run)
        return len(held) == count

    until(all_held, f"step 200 of {count} runs")
    assert all(step_of(run) < STEPS for run in held)


def process_of(run):
    return psutil.Process(json.loads((run / "running.json").read_text())["pid"])


def runs_of(sweep):
    return sorted(sweep.glob("[0-9]*_x4"))


def weights_of(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_equal_bits(run, other):
    own, others = weights_of(run), weights_of(other)
    assert own.keys() == others.keys() and all(torch.equal(own[key], others[key]) for key in own)


def state_of(run):
    return json.loads((run / "summary.json").read_text())["state"]


def said(log):
    log.seek(0)
    return log.read()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same run, here and in one go."""
    folder = tmp_path_factory.mktemp("undisturbed") / "sweep"
    command = [
        sys.executable,
        "train.py",
        "-m",
        *TINY_MODEL["msrresnet"],
        *TINY_RUN,
        *LONG,
        f"hydra.sweep.dir={folder}",
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=1200)
    [run] = runs_of(folder)
    return run


def test_four_jobs_requeued_preempted_and_killed(slurm, tmp_path, undisturbed):
    folder = tmp_path / "sweep"
    sweep, log = start(slurm, folder, "seed=0,0,0,1", *ON_SLURM)
    hold(lambda: runs_of(folder), 4)
    array = next(iter(slurm.queue())).split("_")[0]
    runs = runs_of(folder)

    slurm.run("scontrol", "requeue", f"{array}_1")
    process_of(runs[3]).kill()
    until(lambda: f"{array}_3" not in slurm.queue(), "end of the killed job")
    until(lambda: slurm.queue()[f"{array}_1"] == "PENDING", "requeued job")  # else it would make way, too
    slurm.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    for number in (0, 1, 2):  # 0 and 2 have made way
        slurm.start_again(f"{array}_{number}")

    assert sweep.wait(timeout=600) == 1, said(log)
    assert [state_of(run) for run in runs[:3]] == ["finished"] * 3
    for run in runs[:3]:
        assert_equal_bits(run, undisturbed)
        assert "resuming in" in (run / "train.log").read_text()
    assert f"{runs[3].name} failed: Slurm job {array}_3 was killed" in said(log)

    # The same sweep again: one job is left, and goes on.
    again, log = start(slurm, folder, "seed=0,0,0,1", *ON_SLURM)
    assert again.wait(timeout=600) == 0, said(log)
    assert state_of(runs[3]) == "finished"
    assert (runs[0] / "train.log").read_text().count("already finished") == 0  # it isn't even written to


def test_a_job_saves_and_requeues_itself_before_its_time_limit(slurm, tmp_path):
    folder = tmp_path / "sweep"
    limits = ["hydra.launcher.signal_delay_s=90", "trainer.checkpoint_every=100000"]
    sweep, log = start(slurm, folder, *ON_SLURM, *limits, "trainer.max_steps=1000000", "trainer.val_every=1000000")
    until(lambda: runs_of(folder) and step_of(runs_of(folder)[0]) > 0, "training")
    [run], [job] = runs_of(folder), slurm.queue()
    # The limit comes near only now: on a slow machine the job would else be signalled before it trains.
    minutes = slurm.run("squeue", "--noheader", f"--jobs={job}", "--format=%M").stdout.strip().split(":")[-2]
    slurm.run("scontrol", "update", f"JobId={job}", f"TimeLimit={int(minutes) + 2}")
    until(lambda: slurm.queue()[job] == "PENDING", "requeued job")
    slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=20")
    slurm.start_again(job)
    until(lambda: "resuming in" in (run / "train.log").read_text(), "second start")
    assert "SIGUSR2: finishing this step, then saving" in (run / "train.log").read_text()
    slurm.run("scancel", job)
    assert sweep.wait(timeout=600) == 1, said(log)
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["sr_experiments"]["step"]
    assert step > 0 and step % 100000, "saved when asked to"


def test_a_preempted_job_with_a_grace_time_is_still_there_to_be_requeued(slurm, tmp_path, undisturbed):
    folder = tmp_path / "sweep"
    sweep, log = start(slurm, folder, *ON_SLURM, "hydra.launcher.partition=graced")
    hold(lambda: runs_of(folder), 1)
    [run], [job] = runs_of(folder), slurm.queue()
    slurm.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    until(lambda: slurm.queue().get(job) == "PENDING", "requeued job")
    assert "waiting for Slurm" in (run / "train.log").read_text()
    slurm.start_again(job)
    assert sweep.wait(timeout=600) == 0, said(log)
    assert_equal_bits(run, undisturbed)


def test_two_tasks_train_one_run_that_goes_on_when_requeued(slurm, tmp_path):
    arguments = [*TINY_MODEL["msrresnet"], *TINY_RUN, *LONG, "trainer=slurm", f"output_dir={tmp_path}"]
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\ncd {ROOT}\nsrun {sys.executable} train.py {' '.join(arguments)}\n")
    output = tmp_path / "job.out"
    options = ["--ntasks-per-node=2", "--nodes=1", "--requeue", "--open-mode=append", f"--output={output}"]
    job = slurm.run("sbatch", "--parsable", *options, str(script)).stdout.strip()

    def runs():
        return list(Path(tmp_path).glob("msrresnet_pixel_x4/2*"))

    hold(runs, 1)
    slurm.run("scontrol", "requeue", job)
    slurm.start_again(job)
    until(lambda: job not in slurm.queue(), "end")
    [run] = runs()
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["state"], summary["step"], summary["processes"]) == ("finished", STEPS, 2), output.read_text()[
        -2000:
    ]
    assert "resuming in" in (run / "train.log").read_text()


def test_refused_jobs_are_one_line(slurm, tmp_path):
    sweep, log = start(slurm, tmp_path / "sweep", *ON_SLURM, "hydra.launcher.partition=nowhere")
    assert sweep.wait(timeout=300) != 0
    assert "Slurm takes no jobs" in said(log) and "Traceback" not in said(log)


def test_where_there_is_no_slurm_that_is_said(tmp_path, command):
    done = command("-m", *ON_SLURM, f"hydra.sweep.dir={tmp_path}", PATH=str(Path(sys.executable).parent))
    assert done.returncode != 0 and "Slurm takes no jobs" in done.stderr and "Traceback" not in done.stderr
