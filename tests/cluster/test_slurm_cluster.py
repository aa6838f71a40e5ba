"""The cluster that the other tests of this folder rely on is a real one, and is gone afterwards."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.cluster.slurm_cluster import SlurmCluster, missing
from tests.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

# Each start of a job adds a line; the second start ends it.
COUNTED = 'echo "start ${{SLURM_RESTART_COUNT:-0}}" >> {starts}; [ -n "$SLURM_RESTART_COUNT" ] || exec sleep 100'


def submit(slurm, script, *options):
    return slurm.run("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}").stdout.strip()


def until(there, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, f"no {what} after {seconds} s"
        time.sleep(0.1)


def lines(path):
    return path.read_text().splitlines() if path.is_file() else []


def test_a_job_runs_and_its_output_is_there(slurm, tmp_path):
    output = tmp_path / "out"
    slurm.run(
        "sbatch", "--wait", "--mem=64G", f"--output={output}", "--wrap=srun echo task $SLURM_PROCID of $SLURM_JOB_ID"
    )
    [line] = lines(output)
    assert line.startswith("task 0 of ")


def test_an_array_of_four_runs_at_once(slurm, tmp_path):
    # Each waits until all four are there.
    script = f"touch {tmp_path}/$SLURM_ARRAY_TASK_ID; while [ $(ls {tmp_path} | wc -l) -lt 4 ]; do sleep 0.1; done"
    slurm.run("sbatch", "--wait", "--array=0-3", "--output=/dev/null", "--time=5", f"--wrap={script}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]


def test_a_requeued_job_starts_again(slurm, tmp_path):
    starts = tmp_path / "starts"
    job = submit(slurm, COUNTED.format(starts=starts))
    until(lambda: lines(starts), "start")
    slurm.run("scontrol", "requeue", job)
    slurm.start_again(job)
    until(lambda: job not in slurm.queue(), "end")
    assert lines(starts) == ["start 0", "start 1"]


def test_a_job_makes_way_for_an_urgent_one_and_starts_again(slurm, tmp_path):
    starts = tmp_path / "starts"
    job = submit(slurm, COUNTED.format(starts=starts))
    until(lambda: lines(starts), "start")
    submit(slurm, f"echo urgent >> {starts}", "--partition=urgent", "--exclusive")
    until(lambda: "urgent" in lines(starts), "urgent job")
    slurm.start_again(job)
    until(lambda: job not in slurm.queue(), "end")
    assert lines(starts) == ["start 0", "urgent", "start 1"]


@pytest.mark.parametrize("lost", [None, "slurmctld", "slurmd"])
def test_nothing_of_it_is_left_afterwards(lost):
    if reason := missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        cluster = SlurmCluster(Path(folder))
        with pytest.raises(ZeroDivisionError), cluster:
            submit(cluster, "trap '' TERM; srun sleep 1000 & srun sleep 1000; sleep 1000")
            names = {"munged", "slurmctld", "slurmd", "slurmstepd", "srun", "sleep"}
            until(lambda: names <= {process.name() for process in cluster.processes()}, "job")
            if lost:
                [pid] = [process.pid for process in cluster.processes() if process.name() == lost]
                os.kill(pid, signal.SIGKILL)
            raise ZeroDivisionError  # a test that fails
        assert cluster.processes() == []


def test_nothing_of_it_is_left_when_the_tests_are_killed(tmp_path):
    if reason := missing():
        pytest.skip(reason)
    code = f"""
import time
from pathlib import Path
from tests.cluster.slurm_cluster import SlurmCluster
with SlurmCluster(Path({str(tmp_path)!r})) as cluster:
    cluster.run("sbatch", "--output=/dev/null", "--wrap=sleep 1000")
    time.sleep(1000)
"""
    killed = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    cluster = SlurmCluster(tmp_path)
    until(lambda: "sleep" in {process.name() for process in cluster.processes()}, "job")
    killed.kill()
    killed.wait()
    until(lambda: not cluster.processes() and not tmp_path.exists(), "end of the cluster")
