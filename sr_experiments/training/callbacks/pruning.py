"""A trial of `hydra/sweeper=optuna` reports each validation to its study, and ends early if Optuna says so."""

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

    The study is read and written through the journal in the sweep folder, so the sweeper may be another process, or on
    another machine.

    Attributes:
        pruned: whether it stopped the run.

    Args:
        folder: of the sweep.
        number: of the trial.
        key_of: from the objective's name to its key `val/<set>/<metric>`.

    Raises:
        SRError: there is no study in the folder, or the objective is not measured.
    """

    def __init__(self, folder: Path, number: int, key_of: Callable[[str], str]) -> None:
        self.folder = folder
        self.number = number
        self.pruned = False
        self.study: optuna.Study = load_study(folder)
        self.key = key_of(objectives_of(self.study)[0].name)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: SRModule) -> None:  # type: ignore[override]
        """Report; stop."""
        value = pl_module.validation.values.get(self.key)
        if value is None or not pl_module.eligible_as_best() or pl_module.step >= pl_module.max_steps:
            return
        stop = self._report(pl_module.step, value) if trainer.is_global_zero else False
        if trainer.strategy.broadcast(stop):
            self.pruned = trainer.should_stop = True
            log.info("step %d: pruned, %s is behind that of other trials", pl_module.step, self.key)

    def _report(self, step: int, value: float) -> bool:
        """Whether the trial is to end."""
        storage = self.study._storage
        try:
            trial = trial_id(self.study, self.number)
            storage.set_trial_intermediate_value(trial, step, value)
            return self.study.pruner.prune(self.study, storage.get_trial(trial))
        except OSError as error:  # a network file system that is away for a moment should not cost a run
            log.warning("the study in %s can't be reached (%s): this trial goes on", self.folder, error)
            return False


def pruning(key_of: Callable[[str], str]) -> list[Callback]:
    """The callback, in a trial of a sweep with `hydra.sweeper.pruner`; errors as of `Pruning`."""
    if not is_sweep() or HydraConfig.get().sweeper.get("pruner", "none") == "none":
        return []
    places = sweep_folder().absolute().parents
    folder = next((place for place in places if (place / JOURNAL).is_file()), places[0])
    return [Pruning(folder, HydraConfig.get().job.num, key_of)]


def state_at_the_end(trainer: pl.Trainer) -> str:
    """What summary.json says of a run whose training has returned: finished or pruned."""
    return "pruned" if any(isinstance(c, Pruning) and c.pruned for c in trainer.callbacks) else "finished"  # type: ignore[attr-defined]
