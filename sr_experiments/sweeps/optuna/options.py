"""The options of `hydra/sweeper=optuna`, validated."""

from typing import Annotated, Any, Literal

from annotated_types import Ge
from omegaconf import OmegaConf
from pydantic import ValidationError

from sr_experiments.config.explain import problem
from sr_experiments.errors import SRError
from sr_experiments.registry import Group


class Options(Group):
    """The options of conf/hydra/sweeper/optuna.yaml, which explains them."""

    n_trials: Annotated[int, Ge(1)]
    n_jobs: Annotated[int, Ge(1)]
    objective: str | list[str]
    value: Literal["best", "final"]
    sampler: Literal["tpe", "gp", "random"]
    startup_trials: Annotated[int, Ge(1)]
    seed: Annotated[int, Ge(0)]
    pruner: Literal["none", "median", "hyperband"]
    pruner_startup_trials: Annotated[int, Ge(0)]
    pruner_warmup_steps: Annotated[int, Ge(0)]
    params: dict[str, Any] | None


def read_options(given: dict[str, Any]) -> Options:
    """Read the options that Hydra passes to the plug-in; an SRError for an unknown option or an invalid value."""
    plain: dict[str, Any] = {k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in given.items()}
    try:
        return Options.model_validate(plain)
    except ValidationError as error:
        raise SRError(problem(error, Options, plain, {}).line("hydra.sweeper")) from None
