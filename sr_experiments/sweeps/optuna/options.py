"""The options of `hydra/sweeper=optuna`, validated."""

from dataclasses import dataclass, fields
from typing import Any

from omegaconf import OmegaConf

from sr_experiments.errors import SRError
from sr_experiments.sweeps.optuna.study import PRUNERS, SAMPLERS


@dataclass(frozen=True)
class Options:
    """The options of conf/hydra/sweeper/optuna.yaml, which explains them.

    Raises:
        SRError: a value of the wrong type, or out of range.
    """

    n_trials: int
    n_jobs: int
    objective: str | list[str]
    value: str
    sampler: str
    startup_trials: int
    seed: int
    pruner: str
    pruner_startup_trials: int
    pruner_warmup_steps: int
    params: dict[str, Any] | None

    def __post_init__(self) -> None:
        minimum = {"n_trials": 1, "n_jobs": 1, "startup_trials": 1, "seed": 0}
        minimum |= {"pruner_startup_trials": 0, "pruner_warmup_steps": 0}
        for key, low in minimum.items():
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise SRError(f"hydra.sweeper.{key}={value}: give a whole number of at least {low}")
        for key, known in {"value": ("best", "final"), "sampler": SAMPLERS, "pruner": PRUNERS}.items():
            if getattr(self, key) not in known:
                raise SRError(f"hydra.sweeper.{key}={getattr(self, key)}: choose one of {', '.join(known)}")


def read_options(given: dict[str, Any]) -> Options:
    """Read the options that Hydra passes to the plug-in.

    Raises:
        SRError: an unknown option, or an invalid value.
    """
    plain: dict[str, Any] = {k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in given.items()}
    known = [field.name for field in fields(Options)]
    if unknown := [key for key in plain if key not in known]:
        raise SRError(f"hydra.sweeper.{unknown[0]} is not an option: choose of {', '.join(known)}")
    return Options(**plain)
