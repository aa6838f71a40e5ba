"""A study on disk, which the sweep, its jobs and `sr compare` share.

It is Optuna's journal: a file that is only ever appended to, under a lock made by creating a file, which is safe
between processes and between machines on NFS too. SQLite is not: its locks don't work on many network file systems.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr_experiments.errors import SRError

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.journal"
NAME = "sweep"
SAMPLERS = ("tpe", "gp", "random")
PRUNERS = ("none", "median", "hyperband")


@dataclass(frozen=True)
class Objective:
    """A value that is to grow or shrink.

    Attributes:
        name: of a validation metric, `psnr_y` (of the first set) or `<set>/psnr_y`; or "parameters", of the network.
        higher: whether more is better.
    """

    name: str
    higher: bool

    @property
    def direction(self) -> str:
        """As Optuna says it."""
        return "maximize" if self.higher else "minimize"

    @property
    def validated(self) -> bool:
        """Whether it is measured in validation."""
        return self.name != "parameters"

    def value(self, summary: dict[str, Any], which: str) -> float | None:
        """From a run's summary.json; None if it isn't there.

        Args:
            summary: what is in the file.
            which: "best", of the best checkpoint, or "final", of the last validation.
        """
        if not self.validated:
            return summary.get("parameters")
        values = (summary.get("best") or {}).get("metrics") if which == "best" else summary.get("final")
        found = [value for key, value in (values or {}).items() if key.split("/", 2 - self.name.count("/"))[-1] == self.name]
        return float(found[0]) if found and isinstance(found[0], int | float) else None


def storage_in(folder: Path) -> "optuna.storages.JournalStorage":
    """The journal of a sweep folder; made if it isn't there.

    Raises:
        SRError: Optuna is missing.
    """
    try:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    except ModuleNotFoundError as error:
        raise SRError('hydra/sweeper=optuna needs the optuna extra: pip install "sr-experiments[optuna]"') from error
    file = str(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))


def load_study(folder: Path) -> "optuna.Study":
    """The study of a sweep folder, with its pruner.

    Raises:
        SRError: Optuna is missing, or there is no study that can be read.
    """
    storage = storage_in(folder)
    import optuna

    try:
        study = optuna.load_study(study_name=NAME, storage=storage)
    except (KeyError, ValueError) as error:
        raise SRError(f"{folder / JOURNAL} holds no study that can be read ({error})") from error
    study.pruner = make_pruner(**study.user_attrs["pruner"]) if "pruner" in study.user_attrs else study.pruner
    return study


def objectives_of(study: "optuna.Study") -> list[Objective]:
    """What a study was started for."""
    return [Objective(**one) for one in study.user_attrs["objectives"]]


def make_sampler(name: str, startup_trials: int, seed: int, number: int) -> "optuna.samplers.BaseSampler":
    """What proposes the values of trial `number`.

    Each trial has random numbers of its own, so that a study that was stopped goes on as if it had not been.
    """
    import numpy as np
    from optuna import samplers

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if name == "tpe":
        return samplers.TPESampler(n_startup_trials=startup_trials, seed=own, constant_liar=True)
    if name == "gp":
        return samplers.GPSampler(n_startup_trials=startup_trials, seed=own)
    return samplers.RandomSampler(seed=own)


def make_pruner(
    name: str, startup_trials: int, warmup_steps: int, first_step: int, max_steps: int
) -> "optuna.pruners.BasePruner":
    """What ends bad trials early.

    Args:
        name: of PRUNERS.
        startup_trials: of median: so many must have finished before.
        warmup_steps: of median: training steps before which no trial is ended.
        first_step: of hyperband: the first at which a trial may be ended, the first validation's.
        max_steps: of hyperband: of a whole trial.
    """
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=warmup_steps)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=first_step, max_resource=max_steps)
    return pruners.NopPruner()
