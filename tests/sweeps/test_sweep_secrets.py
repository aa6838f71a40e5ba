"""Settings of Hydra's own, which a sweep writes to multirun.yaml, hold no secret either."""

import pytest

OPTUNA = ["hydra/sweeper=optuna", "optim.learning_rate=interval(1e-4,1e-3)"]


@pytest.mark.parametrize(
    ("sweeper", "setting"),
    [([], "SOMETHING=aws/5ec2e7b0"), (OPTUNA, "MY_TOKEN=0123456789")],
    ids=["grid", "optuna"],
)
def test_a_sweep_with_a_secret_is_refused_before_anything_is_written(sweep, tmp_path, monkeypatch, sweeper, setting):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws/5ec2e7b0")
    done = sweep(*sweeper, f"+hydra.job.env_set.{setting}")
    name, secret = setting.split("=")
    assert done.code == 2 and len(done.err.splitlines()) == 1
    assert f"hydra.job.env_set.{name}" in done.err and secret not in done.err
    assert not (tmp_path / "sweep").exists()
