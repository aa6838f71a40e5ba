"""Train a super-resolution network: `python train.py model=rrdbnet loss=gan`; see `python train.py --help`."""

import os
import sys

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sr_experiments.errors import composition_error

# For each group that --help lists Hydra copies its store of schemas, which gives out copies of them anyway.
ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


TRACEBACKS = "HYDRA_FULL_ERROR"  # set, Hydra raises what is wrong, instead of writing it in many lines
WANTED = TRACEBACKS in os.environ


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Run the composed experiment; heavy imports happen here, so that --help stays quick."""
    if not WANTED:
        os.environ.pop(TRACEBACKS, None)  # composed: what goes wrong from here on is not Hydra's
    from sr_experiments.training.run import train_command

    return train_command(cfg)


def run() -> None:
    """Compose and run; a configuration that can't be composed is one line and exit code 2."""
    os.environ.setdefault(TRACEBACKS, "1")
    try:
        main()
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError) as error:
        if WANTED or TRACEBACKS not in os.environ:
            raise
        sys.stderr.write(f"error: {composition_error(error)}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    run()
