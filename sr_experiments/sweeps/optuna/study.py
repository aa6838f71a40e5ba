"""A study on disk, which the sweep, its jobs and `sr compare` share.

It is Optuna's journal: a file that is only ever appended to, under a lock made by creating a file, which is safe
between processes and between machines on NFS too. SQLite is not: its locks don't work on many network file systems.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sr_experiments.errors import SRError
from sr_experiments.sweeps.optuna.objective import Objective

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.journal"
NAME = "sweep"
SAMPLERS = ("tpe", "gp", "random")
PRUNERS = ("none", "median", "hyperband")


def need_optuna(what: str = "hydra/sweeper=optuna") -> None:
    """Import Optuna; it then says nothing but warnings.

    Raises:
        SRError: it is missing.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise SRError(f'{what} needs the optuna extra: pip install "sr-experiments[optuna]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def storage_in(folder: Path) -> "optuna.storages.JournalStorage":
    """The journal of a sweep folder; made if it isn't there."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    file = str(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))


def open_study(
    folder: Path, directions: "Sequence[Literal['maximize', 'minimize']]", told: dict[str, Any]
) -> "optuna.Study":
    """The study of a sweep folder to go on with, or a new one.

    Args:
        folder: of the sweep.
        directions: of the objectives.
        told: what the study is kept with, among it its pruner; one that was started before must be the same.

    Raises:
        SRError: it is another one.
    """
    import optuna

    _mend_journal(folder)
    study = optuna.create_study(
        storage=storage_in(folder),
        study_name=NAME,
        directions=directions,
        pruner=make_pruner(**told["pruner"]),
        load_if_exists=True,
    )
    before = study.user_attrs
    for key, value in told.items():
        if key not in before:
            study.set_user_attr(key, value)
        elif before[key] != value:
            raise SRError(
                f"{folder} holds another study, {key} {before[key]}, not {value}: "
                "give the same command, or another hydra.sweep.dir"
            )
    return study


def load_study(folder: Path) -> "optuna.Study":
    """The study of a sweep folder, with its pruner.

    Raises:
        SRError: Optuna is missing, or there is no study that can be read.
    """
    need_optuna(f"the study in {folder}")
    import optuna

    if not (folder / JOURNAL).is_file():
        raise SRError(f"there is no study in {folder}: it would be in {JOURNAL}")

    storage = storage_in(folder)

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


def trial_id(study: "optuna.Study", number: int) -> int:
    """What the storage of a study calls a trial."""
    return study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)


def _mend_journal(folder: Path) -> None:
    """Cut off a line that was being written when its process was killed: the next one would be joined to it."""
    file = folder / JOURNAL
    if file.is_file() and (content := file.read_bytes()) and not content.endswith(b"\n"):
        with file.open("rb+") as journal:
            journal.truncate(content.rfind(b"\n") + 1)
