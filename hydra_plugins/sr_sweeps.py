"""What `hydra/sweeper=grid`, `hydra/launcher=joblib` and `hydra/launcher=slurm` are.

Hydra takes plug-ins from this namespace only, and imports them at every start: the work is in `sr_experiments.sweeps`.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Grid(BasicSweeper):
    """Hydra's own sweeper over all combinations; a failing job doesn't end the sweep, and the end is a table."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs, list them; exit code 1 if some failed, 2 before any if the settings hold a secret."""
        from sr_experiments.sweeps.summary import Collecting, check_settings

        assert self.config is not None
        check_settings(self.config)
        launcher = Collecting(self.launcher, self.config, arguments)
        self.launcher = launcher  # type: ignore[assignment]
        with launcher.listed_at_the_end():
            return super().sweep(arguments)


class _Configured(Launcher):
    """A launcher whose options are those of its YAML file."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what jobs are made from."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config


class Joblib(_Configured):
    """Several jobs at a time on this machine, each a process of its own."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; one that fails or dies is returned as failed."""
        from sr_experiments.sweeps.jobs import Jobs
        from sr_experiments.sweeps.local import run_jobs

        return run_jobs(
            Jobs(self.hydra_context, self.task_function, self.config, job_overrides, initial_job_idx), **self.options
        )


class Slurm(_Configured):
    """Jobs of a Slurm array; preempted, timed out and requeued ones go on where they stopped."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs and wait for them; one that fails or dies is returned as failed."""
        from sr_experiments.sweeps.jobs import Jobs
        from sr_experiments.sweeps.slurm import run_jobs

        return run_jobs(
            Jobs(self.hydra_context, self.task_function, self.config, job_overrides, initial_job_idx), self.options
        )
