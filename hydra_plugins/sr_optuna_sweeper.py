"""What `hydra/sweeper=optuna` is; the work is in `sr_experiments.sweeps.optuna.sweeper`.

The published plug-in, hydra-optuna-sweeper 1.3.0, needs an Optuna older than 3: this one drives the current Optuna
behind the same command, with the same way to write what is searched.
"""

from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Optuna(Sweeper):
    """Optuna proposes the values of each job; its options are those of conf/hydra/sweeper/optuna.yaml."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    launcher: Launcher

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what jobs are made from, and make the launcher."""
        from hydra.core.plugins import Plugins

        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials; exit code 1 if none finished, 2 if there is something for the user to mend."""
        from sr_experiments.sweeps.optuna.sweeper import run_sweep

        run_sweep(self.hydra_context, self.task_function, self.config, self.launcher, self.options, arguments)
