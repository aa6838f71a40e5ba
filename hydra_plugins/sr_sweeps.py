"""Hydra plug-ins: `hydra/sweeper=grid` and `optuna`, `hydra/launcher=joblib` and `slurm`.

Hydra finds plug-ins in this namespace only, and imports all of them at every start: the code, and all that is slow to
import, is in `sr_experiments.sweeps`. The published hydra-optuna-sweeper 1.3.0 needs an Optuna older than 3; the one
here drives the current Optuna with the same command and the same search-space syntax.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from sr_experiments.sweeps.jobs import Jobs


class Grid(BasicSweeper):
    """Hydra's own sweeper over all combinations, which goes on after a failed job and ends with a table of results."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs and list them; exit code 1 if some failed, 2 before any job if the settings hold a secret."""
        from sr_experiments.config.secrets import refuse_secrets
        from sr_experiments.sweeps.summary import RecordingLauncher, exit_on_user_error

        assert self.config is not None and self.launcher is not None
        with exit_on_user_error():
            refuse_secrets(OmegaConf.to_container(self.config, resolve=False))
        self.launcher = launcher = RecordingLauncher(self.launcher, self.config, arguments)
        with launcher.results_on_exit():
            return super().sweep(arguments)


class _Configured:
    """What our plug-ins share: the options of their YAML file, and what Hydra passes to `setup`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what jobs are made from."""
        self.context, self.task_function, self.sweep_config = hydra_context, task_function, config

    def jobs(self, overrides: Sequence[Sequence[str]], first: int) -> "Jobs":
        """Compose the jobs with these overrides."""
        from sr_experiments.sweeps.jobs import Jobs

        return Jobs(self.context, self.task_function, self.sweep_config, overrides, first)


class Optuna(_Configured, Sweeper):
    """Optuna proposes the values of each job; conf/hydra/sweeper/optuna.yaml lists the options."""

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials; exit code 1 if none finished, 2 after a user error."""
        from hydra.core.plugins import Plugins

        from sr_experiments.sweeps.optuna.sweeper import OptunaSweep
        from sr_experiments.sweeps.summary import exit_on_user_error

        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.task_function, config=self.sweep_config
        )
        with exit_on_user_error():
            OptunaSweep(self.context, self.task_function, self.sweep_config, launcher, self.options, arguments).run()


class Joblib(_Configured, Launcher):
    """Several jobs at a time on this machine, each in its own process."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; one that fails or is killed is returned as failed."""
        from sr_experiments.sweeps.local import run_jobs

        return run_jobs(self.jobs(job_overrides, initial_job_idx), **self.options)


class Slurm(_Configured, Launcher):
    """Jobs of a Slurm array; a preempted, timed out or requeued job resumes from its last checkpoint."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs and wait for them; one that fails or is killed is returned as failed."""
        from sr_experiments.sweeps.slurm import run_jobs

        return run_jobs(self.jobs(job_overrides, initial_job_idx), self.options)
