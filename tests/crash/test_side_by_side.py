"""Sweeps in one folder at the same time; reports made while runs are writing."""

import json

import pytest

from tests.conftest import TINY_GAN, TINY_MODEL, TINY_RUN
from tests.crash.victims import PATIENCE, SHORT, start, training
from tests.same_runs import assert_same_run, rows

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200)]


def test_two_sweeps_in_one_folder_do_each_job_once(tmp_path):
    choices = ["-m", "model=srresnet,msrresnet", "seed=0,1", *TINY_MODEL["srresnet"][1:], *TINY_RUN]
    choices += ["trainer.max_steps=60", "trainer.val_every=20"]
    sweep, whole, said = tmp_path / "sweep", tmp_path / "whole", [tmp_path / name for name in ("a", "b", "c")]
    both = [start(training(*choices, f"hydra.sweep.dir={sweep}"), log) for log in said[:2]]
    for process in both:
        process.wait(PATIENCE)
        assert process.returncode in (0, 1)  # 1: a job was left to the other
    for log in said[:2]:
        failures = [line for line in log.read_text().splitlines() if line.startswith("error:")]
        assert all("is being trained by another process" in line for line in failures), log.read_text()[-3000:]
        assert "Traceback" not in log.read_text()
    for place in (sweep, whole):
        assert start(training(*choices, f"hydra.sweep.dir={place}"), said[2]).wait(PATIENCE) == 0
    for job in whole.glob("*_x4"):
        assert_same_run(sweep / job.name, job)
        assert len(rows(job)) == len(set(rows(job)))


def test_reports_are_made_while_runs_are_writing(tmp_path, sr):
    outputs, said = tmp_path / "outputs", tmp_path / "said"
    often = [
        f"trainer.max_steps={200 if SHORT else 1500}",
        "trainer.val_every=10",
        "trainer.checkpoint_every=2",
        "logger=wandb",
    ]
    kinds = ([], TINY_GAN)
    runs = [
        start(training(*TINY_MODEL["msrresnet"], *TINY_RUN, *often, *kind, "name=same", f"output_dir={outputs}"), said)
        for kind in kinds
    ]
    looks, seen = 0, set()
    while any(run.poll() is None for run in runs):
        if len(list(outputs.glob("*/*/config.yaml"))) < 2:
            continue
        listed = sr("runs", outputs, "--json")
        assert listed.code == 0, listed.err
        seen |= {one["state"] for one in json.loads(listed.out)}
        compared = sr("compare", outputs, "-o", tmp_path / "report.html")
        assert compared.code == 0, compared.err
        assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
        looks += 1
    assert [run.returncode for run in runs] == [0, 0], said.read_text()[-3000:]
    assert looks > 2 and "running" in seen
    assert len(list(outputs.glob("same/*"))) == 2
    print(f"{looks} reports while two runs were writing")  # noqa: T201
