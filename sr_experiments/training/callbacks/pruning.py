"""Pruning: a trial of `hydra/sweeper=optuna` reports each validation, and ends early if Optuna decides so."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.callbacks import Callback

from sr_experiments.config.resolve import is_sweep, sweep_folder
from sr_experiments.sweeps.optuna.study import JOURNAL, load_study, objectives_of, trial_id
from sr_experiments.training.module import SRModule

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


class Pruning(Callback):
    """Report the objective after each validation, and stop the run if the study's pruner asks for it.

    The study is read and written through the journal in the sweep folder, so the sweeper may be another process, also
    on another machine.

    Args:
        folder: the sweep folder.
        number: number of the trial.
        key_of: maps the objective's name to its key `val/<set>/<metric>`.

    Raises:
        SRError: there is no study in the folder, or the objective is not measured.
    """

    def __init__(self, folder: Path, number: int, key_of: Callable[[str], str]) -> None:
        self.folder = folder
        self.number = number
        self.pruned = False  # whether it stopped the run
        self.study: optuna.Study = load_study(folder)
        self.key = key_of(objectives_of(self.study)[0].name)

    def on_validation_end(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Report the objective, and stop the run if the pruner asks for it."""
        value = module.validation.values.get(self.key)
        # None where a stage does not measure it; the warm-up of a GAN says nothing about its result.
        if value is None or not module.step or not module.eligible_as_best() or module.step >= module.max_steps:
            return
        stop = self._report(module.step, value) if trainer.is_global_zero else False
        if trainer.strategy.broadcast(stop):  # all ranks stop together
            self.pruned = trainer.should_stop = True
            log.info("step %d: pruned, %s is behind that of other trials", module.step, self.key)

    def _report(self, step: int, value: float) -> bool:
        """Report a value; return whether the pruner asks to stop."""
        storage = self.study._storage
        try:
            trial = trial_id(self.study, self.number)
            storage.set_trial_intermediate_value(trial, step, value)
            return self.study.pruner.prune(self.study, storage.get_trial(trial))
        except OSError as error:  # a network file system may be unavailable for a moment: no reason to fail
            log.warning("the study in %s can't be reached (%s): this trial continues", self.folder, error)
            return False


def make_pruning(key_of: Callable[[str], str]) -> Pruning | None:
    """Return the callback in a trial of a sweep with `hydra.sweeper.pruner`, else None; errors as of `Pruning`."""
    if not is_sweep() or HydraConfig.get().sweeper.get("pruner", "none") == "none":
        return None
    parents = sweep_folder().absolute().parents  # hydra.sweep.subdir may have several levels
    folder = next((parent for parent in parents if (parent / JOURNAL).is_file()), parents[0])
    return Pruning(folder, HydraConfig.get().job.num, key_of)
