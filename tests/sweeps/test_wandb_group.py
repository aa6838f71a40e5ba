"""The jobs of a sweep in W&B."""

import pytest

from tests.wandb_sessions import sessions


@pytest.mark.slow
def test_a_job_of_a_sweep_is_grouped_and_stays_so(sweep, train, tmp_path):
    done = sweep("logger=wandb")
    assert done.code == 0, done.err
    job = next((tmp_path / "sweep").glob("*_x4"))
    train(f"resume={job}", "trainer.max_steps=6")
    train(f"resume={job}", "trainer.max_steps=8", "logger.group=mine")
    runs = [session.run for session in sessions(job)]
    assert [(run.run_group, run.job_type) for run in runs] == [("sweep", "sweep")] * 2 + [("mine", "sweep")]
