"""The Optuna study of a sweep folder, shared by the sweeper, its jobs and `sr compare`.

It is stored as Optuna's journal: an append-only file with a lock file, which is safe between processes and between
machines, also on NFS. SQLite is not: its locks don't work on many network file systems.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sr_experiments.errors import SRError
from sr_experiments.packages.extras import install_extra
from sr_experiments.sweeps.optuna.objective import Objective

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.journal"
NAME = "sweep"


def require_optuna(feature: str = "hydra/sweeper=optuna") -> None:
    """Import Optuna, and silence its messages below warnings; an SRError if it is missing."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise SRError(f"{feature} needs the optuna extra: {install_extra('optuna')}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def storage_in(folder: Path) -> "optuna.storages.JournalStorage":
    """Open the journal of a sweep folder; it is created if there is none."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    file = str(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))


def open_study(
    folder: Path, directions: "Sequence[Literal['maximize', 'minimize']]", attributes: dict[str, Any]
) -> "optuna.Study":
    """Open the study of a sweep folder, or create it with these attributes; an SRError if it has others."""
    import optuna

    _drop_partial_line(folder)
    study = optuna.create_study(
        storage=storage_in(folder),
        study_name=NAME,
        directions=directions,
        pruner=make_pruner(**attributes["pruner"]),
        load_if_exists=True,
    )
    existing = study.user_attrs
    for key, value in attributes.items():
        if key not in existing:
            study.set_user_attr(key, value)
        elif existing[key] != value:
            raise SRError(
                f"{folder} holds another study, {key} {existing[key]}, not {value}: "
                "give the same command, or another hydra.sweep.dir"
            )
    return study


def load_study(folder: Path) -> "optuna.Study":
    """Load the study of a sweep folder, with its pruner; an SRError without Optuna or a readable study."""
    require_optuna(f"the study in {folder}")
    import optuna

    if not (folder / JOURNAL).is_file():
        raise SRError(f"there is no study in {folder}: it would be in {JOURNAL}")
    try:
        study = optuna.load_study(study_name=NAME, storage=storage_in(folder))
    except (KeyError, ValueError) as error:
        raise SRError(f"{folder / JOURNAL} holds no study that can be read ({error})") from error
    # Optuna does not store the pruner: it would be the median pruner in every job.
    if "pruner" in study.user_attrs:
        study.pruner = make_pruner(**study.user_attrs["pruner"])
    return study


def objectives_of(study: "optuna.Study") -> list[Objective]:
    """Return the objectives that a study was created with."""
    return [Objective(**one) for one in study.user_attrs["objectives"]]


def make_sampler(name: str, startup_trials: int, seed: int, number: int) -> "optuna.samplers.BaseSampler":
    """Return the sampler that proposes the values of trial `number`.

    Each trial has its own seed, so that a study that was stopped continues as if it had not been.
    """
    import numpy as np
    from optuna import samplers

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if name == "tpe":
        # constant_liar: trials that run at the same time are not all drawn to the same place.
        return samplers.TPESampler(n_startup_trials=startup_trials, seed=own, constant_liar=True)
    if name == "gp":
        return samplers.GPSampler(n_startup_trials=startup_trials, seed=own)
    return samplers.RandomSampler(seed=own)


def make_pruner(
    name: str, startup_trials: int, warmup_steps: int, first_step: int, max_steps: int
) -> "optuna.pruners.BasePruner":
    """Return the pruner, which ends bad trials early.

    Median prunes none until `startup_trials` have finished, and none before `warmup_steps` training steps; hyperband
    none before `first_step`, that of the first validation. Trials have `max_steps`.
    """
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=warmup_steps)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=first_step, max_resource=max_steps)
    return pruners.NopPruner()


def trial_id(study: "optuna.Study", number: int) -> int:
    """Return the id of a trial in the storage of its study."""
    return study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)


def _drop_partial_line(folder: Path) -> None:
    """Cut off a line that a killed process left incomplete: the next one would be appended to it."""
    file = folder / JOURNAL
    if file.is_file() and (content := file.read_bytes()) and not content.endswith(b"\n"):
        with file.open("rb+") as journal:
            journal.truncate(content.rfind(b"\n") + 1)
