"""Train a super-resolution network: `python train.py model=rrdbnet loss=gan`; see `python train.py --help`."""

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

# For each group that --help lists Hydra copies its store of schemas, which gives out copies of them anyway.
ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Run the composed experiment; heavy imports happen here, so that --help stays quick."""
    from sr_experiments.training.run import train_command

    return train_command(cfg)


if __name__ == "__main__":
    main()
