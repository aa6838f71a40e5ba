"""Train a super-resolution network: `sr train model=rrdbnet loss=gan`, or `python train.py` in a checkout."""

from collections.abc import Sequence

from omegaconf import DictConfig

from sr_experiments.config.declared import conf_folder
from sr_experiments.config.hydra_app import is_composed, run_app


def train(arguments: Sequence[str], program: str) -> None:
    """Train what the arguments compose.

    Args:
        arguments: overrides and options of Hydra's.
        program: what the user typed before them, for Hydra's usage line and its completion.

    Raises:
        SystemExit: with 2 after a user error, with 128 + its number after a signal.
    """
    run_app(main, conf_folder(), arguments, program)


def main(cfg: DictConfig) -> float | None:
    """Train what was composed; heavy imports happen here, so that --help stays quick."""
    is_composed()
    from sr_experiments.config.quick_check import check_before_imports

    check_before_imports(cfg)
    from sr_experiments.training.run import train_command

    return train_command(cfg)
