"""Train a super-resolution network: `python train.py model=rrdbnet loss=gan`; see `python train.py --help`."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from sr_experiments.config.hydra_app import is_composed, run_app
from sr_experiments.threads import let_waiting_threads_sleep


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Train what was composed; heavy imports happen here, so that --help stays quick."""
    is_composed()
    from sr_experiments.config.quick_check import check_before_imports

    check_before_imports(cfg)
    from sr_experiments.training.run import train_command

    return train_command(cfg)


if __name__ == "__main__":
    let_waiting_threads_sleep()
    run_app(main, Path(__file__).parent / "conf")
