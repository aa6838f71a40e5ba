"""`sr doctor`: compose the run that `train.py` would make of the same overrides, and look it over."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.progress import track
from yaml import YAMLError

from sr_experiments.config.hydra_app import composition_error
from sr_experiments.config.offline import offline
from sr_experiments.config.resolve import plain_config
from sr_experiments.data.training_crops import TrainingCrops
from sr_experiments.data.workers import worker_count
from sr_experiments.doctor.findings import Finding
from sr_experiments.doctor.pictures import aligned, apart, look_at, readable, repeated, tinted
from sr_experiments.doctor.rehearsal import left_out, rehearse
from sr_experiments.errors import SRError
from sr_experiments.training.assemble import Assembly, assemble
from sr_experiments.training.run import set_up_logging


def examine(overrides: Sequence[str], limit: int, steps: int, console: Console) -> list[Finding]:
    """All checks, from the cheap to the dear; what makes the others pointless ends them.

    Args:
        overrides: Hydra's, as `train.py` takes them.
        limit: the most training images to decode.
        steps: of the rehearsal, for each stage.
        console: for the progress bar.
    """
    set_up_logging(console)
    try:
        with _composed(overrides) as cfg:
            config, _ = plain_config(cfg)
        with offline(config["offline"]):
            assembly = assemble(config)
    except SRError as error:
        return [Finding("configuration", "fail", str(error), "as it says")]
    train_set = assembly.data.train_set
    what = "clips" if assembly.data.clips else "images"
    findings = [Finding("configuration", "pass", f"{config['name']}: {len(train_set.paths)} training {what}")]
    findings += left_out(assembly)
    if isinstance(train_set, TrainingCrops) and not train_set.in_memory:
        findings += _pictures(assembly, train_set, limit, console)
    return findings + rehearse(assembly, config, steps)


def _pictures(assembly: Assembly, train_set: TrainingCrops, limit: int, console: Console) -> list[Finding]:
    def progress(items: Iterable[Any], total: int) -> Iterable[Any]:
        return track(items, "looking at images", total, console=console, disable=not console.is_terminal)

    looks = look_at(train_set, limit, worker_count("auto", False), progress)
    found = [readable(looks, len(train_set.paths)), aligned(looks, train_set.scale), tinted(looks), repeated(looks)]
    return [f for f in (*found, apart(looks, assembly.data.val_sets)) if f is not None]


@contextmanager
def _composed(overrides: Sequence[str]) -> Iterator[DictConfig]:
    """The configuration as Hydra would hand it to `train.py`."""
    conf = next((p for p in (Path("conf"), Path(__file__).parents[2] / "conf") if (p / "train.yaml").is_file()), None)
    if conf is None:
        raise SRError("no conf/train.yaml here: run sr doctor where train.py is")
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            try:
                cfg = compose("train", list(overrides), return_hydra_config=True)
            except (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError) as error:
                raise SRError(composition_error(error)) from error
            with open_dict(cfg):
                cfg.hydra.runtime.output_dir = "outputs"
                HydraConfig.instance().set_config(cfg)
                del cfg["hydra"]
            yield cfg
    finally:
        HydraConfig.instance().cfg = None
        GlobalHydra.instance().clear()
