"""Settings of Hydra's own, which a sweep writes to multirun.yaml, hold no secret either."""

import pytest

OPTUNA = ["hydra/sweeper=optuna", "optim.learning_rate=interval(1e-4,1e-3)"]


@pytest.mark.parametrize("sweeper", [[], OPTUNA], ids=["grid", "optuna"])
def test_a_sweep_with_a_secret_is_refused_before_anything_is_written(sweep, tmp_path, monkeypatch, sweeper):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws/5ec2e7b0")
    for setting in ("SOMETHING=aws/5ec2e7b0", "MY_TOKEN=0123456789"):
        done = sweep(*sweeper, f"+hydra.job.env_set.{setting}")
        assert done.code == 2 and len(done.err.splitlines()) == 1
        assert f"hydra.job.env_set.{setting.split('=')[0]}" in done.err and "5ec2e7b0" not in done.err
        assert not (tmp_path / "sweep").exists()
