"""`sr doctor`: compose the configuration that a training would compose of the same overrides, and check it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict
from rich.console import Console

from sr_experiments.config.command_line import prepared
from sr_experiments.config.declared import conf_folder
from sr_experiments.config.hydra_app import COMPOSITION_ERRORS, composition_error
from sr_experiments.config.offline import offline
from sr_experiments.config.quoting import hydra_text
from sr_experiments.config.resolve import plain_config
from sr_experiments.data.training_crops import TrainingCrops
from sr_experiments.display.logging_setup import log_training
from sr_experiments.doctor.findings import Finding
from sr_experiments.doctor.images import check_images
from sr_experiments.doctor.rehearsal import rehearse
from sr_experiments.errors import SRError
from sr_experiments.training.assemble import assemble
from sr_experiments.training.trainer import monitored


def examine(
    overrides: Sequence[str], limit: int, steps: int, console: Console, config_dir: Path | None = None
) -> list[Finding]:
    """Run all checks of a run with these overrides, the cheap ones first; an invalid configuration ends them.

    YAML files are also looked for in `config_dir`, as with --config-dir of a training.
    At most `limit` training images are decoded, and each stage trains for `steps` timed steps.
    """
    log_training(console)
    try:
        with _composed(overrides, config_dir) as cfg:
            config, _ = plain_config(cfg)
        with offline(config["offline"]):
            assembly = assemble(config)
            monitored(config["trainer"]["monitor"], config, assembly)
    except SRError as error:
        return [Finding("configuration", "fail", str(error), "as it says")]
    train_set = assembly.data.train_set
    what = "clips" if assembly.data.clips else "images"
    findings = [Finding("configuration", "pass", f"{config['name']}: {len(train_set.paths)} training {what}")]
    findings += [Finding(what, "warn", f"left out: {why}") for what, why in assembly.left_out.items()]
    findings += [Finding(what, "warn", why) for what, why in assembly.substituted.items()]
    # The sample data set is made of images that ship with a library: nothing to check.
    if isinstance(train_set, TrainingCrops) and not train_set.in_memory:
        findings += check_images(train_set, assembly.data.val_sets, limit, console)
    return findings + rehearse(assembly, config, steps)


@contextmanager
def _composed(overrides: Sequence[str], config_dir: Path | None) -> Iterator[DictConfig]:
    """Yield the configuration that Hydra would pass to a training."""
    conf = conf_folder()
    if config_dir is not None and not config_dir.is_dir():
        raise SRError(f"no folder {config_dir}; check --config-dir")
    further = [] if config_dir is None else [f"hydra.searchpath=[{hydra_text(config_dir.absolute().as_uri())}]"]
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            cfg = compose("train", [*prepared(overrides, conf), *further], return_hydra_config=True)
    except COMPOSITION_ERRORS as error:
        own = [] if config_dir is None else ["--config-dir", str(config_dir)]
        raise SRError(composition_error(error, conf, [*own, *overrides])) from error
    try:
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = "outputs"
            # plain_config reads the overrides of the command line from there.
            HydraConfig.instance().set_config(cfg)
            del cfg["hydra"]
        yield cfg
    finally:
        HydraConfig.instance().cfg = None
        GlobalHydra.instance().clear()
