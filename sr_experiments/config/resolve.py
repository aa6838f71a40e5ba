"""From Hydra's composed configuration to the plain one that a run is built from, and to `config.yaml`."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sr_experiments.checkpoints.places import newest_run
from sr_experiments.config.command_line import check_resumable
from sr_experiments.config.declared import NULL, Declared, conf_folder, with_plain_words
from sr_experiments.config.quoting import escaped, from_config, override, train_command
from sr_experiments.config.recipe import leave_out_unused
from sr_experiments.config.resume import dotted_values, given_keys, resumed_config
from sr_experiments.config.secrets import refuse_secrets
from sr_experiments.config.upgrade import upgraded
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing
from sr_experiments.runs.changes import Change, listed
from sr_experiments.runs.folder import requeued_run_folder
from sr_experiments.runs.reading import read_config

log = logging.getLogger(__name__)

# Written into config.yaml so that it can be fed back as it is: no second output folder or log from Hydra.
HYDRA = {
    "defaults": [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}, "_self_"],
    "hydra": {"run": {"dir": "."}, "output_subdir": None},
}
# Tells a job of a sweep, "2/4", where the jobs run one after the other in this process.
JOB_VARIABLE = "SR_SWEEP_JOB"
# Settings that may differ when a job of a sweep continues in the folder of an earlier session.
MAY_CHANGE = ("resume", "offline", "output_dir", "trainer", "logger", "callbacks", *HYDRA)


def plain_config(cfg: DictConfig) -> tuple[dict[str, Any], Path | None]:
    """Return the resolved and checked configuration and, for a run that is resumed, its run folder.

    A run is resumed with `resume=`: it takes its own `config.yaml`, changed by the command line only. A job of a sweep
    whose folder has a checkpoint, because the sweep was restarted, resumes too, and so does a job that Slurm requeued.

    Raises:
        SRError: a value is missing or invalid; the run to resume does not exist, or has another configuration.
    """
    from sr_experiments.config.flow import with_networks
    from sr_experiments.config.schema import check

    config, folder = resolved_config(cfg)
    try:
        check(config)
    except SRError as error:
        raise error if folder is None else SRError(f"resume={folder}: {error}") from None
    _check_devices(config["trainer"])
    if "arch" in given_keys() and "arch" not in config["model"]:
        log.warning("arch has no effect on model=%s: it is of model=spandrel", config["model"]["name"])
    if "stages" in config:
        _check_stages(config)
        config["trainer"]["max_steps"] = training_steps(config)
    if isinstance(config["init_from"], str) and config["init_from"].startswith("<"):
        raise SRError(f"init_from is not set: this recipe starts from {config['init_from'].strip('<>')}")
    if folder is None:
        config["init_from"] = _newest(config["init_from"])
        config["val"]["compare_with"] = _newest(config["val"]["compare_with"])
        config = with_networks(config)
        earlier = sweep_folder() if is_sweep() else requeued_run_folder(Path(config["output_dir"]), config["name"])
        if earlier and (earlier / "checkpoints" / "last.ckpt").is_file():
            folder = earlier
            _check_same_run(folder, config)
    return config, folder


def resolved_config(cfg: DictConfig) -> tuple[dict[str, Any], Path | None]:
    """Return the resolved configuration, unchecked, and the run folder of `resume=`; this loads no PyTorch.

    Raises:
        SRError: a value is missing; a setting holds a secret; the run to resume does not exist.
    """
    folder = None
    if cfg.resume is not None and str(cfg.resume).lower() not in NULL:
        folder = Path(str(cfg.resume))
        check_resumable(folder)
        cfg = resumed_config(folder, cfg)
    else:
        leave_out_unused(cfg)
    try:
        config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "a value"
        if "missing" in str(error).lower():
            raise SRError(f"{key} is not set: give it on the command line as {key}=...") from error
        raise SRError(f"{key} in the configuration: {str(error).splitlines()[0]}") from error
    config = with_plain_words(upgraded(config), Declared(conf_folder()))
    # Before anything is written.
    refuse_secrets(config)
    if HydraConfig.initialized():  # W&B records the command line
        refuse_secrets({"hydra": OmegaConf.to_container(HydraConfig.get(), resolve=False)})
    return config, folder


def _newest(source: Any) -> Any:
    """Return the path of a checkpoint, or each of several by name, with the newest run for a folder of runs."""
    if isinstance(source, Mapping):
        return {part: _newest(path) for part, path in source.items()}
    return str(newest_run(Path(source))) if isinstance(source, str) and Path(source).expanduser().is_dir() else source


def training_steps(config: dict[str, Any]) -> int:
    """Return the number of training steps of a run: of its stages together, where it has stages."""
    if "stages" in config:
        from sr_experiments.training.stages import stage_configs

        return sum(stage["steps"] for stage in stage_configs(config))
    return int(config["trainer"]["max_steps"])


def is_sweep() -> bool:
    """Return whether this is a job of a sweep, `-m`."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def sweep_job() -> str:
    """Return which job of how many this is, "2/4", where the jobs of a sweep run one after the other; else ""."""
    return os.environ.get(JOB_VARIABLE, "")


def sweep_folder() -> Path:
    """Return the folder that Hydra made for this job of a sweep."""
    return Path(HydraConfig.get().runtime.output_dir)


def save_config(config: dict[str, Any], folder: Path, changes: Sequence[Change] = ()) -> None:
    """Write `config.yaml`, which repeats the run when it is given to `train.py`, and lists what a resume changed."""
    repeat = train_command(from_config(folder))
    if changes:
        header = (
            "# The resolved configuration that this run trains with now. Settings changed when it was resumed, so no\n"
            f"# single command repeats the run:\n{listed(changes)}"
            f"# To train a new run with what stands below:\n#   {repeat}\n"
        )
    else:
        header = f"# The resolved configuration of this run. To repeat it:\n#   {repeat}\n"
    header += (
        f"# To resume it where it stopped, also after a crash:\n#   {train_command([override('resume', folder)])}\n"
    )
    with replacing(folder / "config.yaml") as temporary:
        temporary.write_text(header + OmegaConf.to_yaml({**HYDRA, **escaped(config), "resume": None}), encoding="utf-8")


def _check_same_run(folder: Path, config: dict[str, Any]) -> None:
    """Refuse to resume in the folder of a run with another configuration."""
    saved = read_config(folder, "remove the folder, or give another hydra.sweep.dir")
    before, now = ({k: str(v) for k, v in dotted_values(c).items() if v != {}} for c in (saved, config))
    for key in sorted({key for key, _ in before.items() ^ now.items()}):
        if key.split(".")[0] not in MAY_CHANGE:
            raise SRError(
                f"{folder} holds another run, {key}={before.get(key)}, not {now.get(key)}: give another hydra.sweep.dir"
            )


def _check_devices(trainer: dict[str, Any]) -> None:
    """Refuse devices that are not there, and more CPU processes than cores: they would bring the machine to a halt."""
    import torch

    accelerator, devices = str(trainer["accelerator"]), trainer["devices"]
    there = {"gpu": torch.cuda.is_available() or torch.backends.mps.is_available(), "cuda": torch.cuda.is_available(),
             "mps": torch.backends.mps.is_available()}  # fmt: skip
    if accelerator not in ("auto", "cpu", *there):
        raise SRError(f"trainer.accelerator is {accelerator!r}: give auto, cpu, gpu or mps")
    if not there.get(accelerator, True):
        raise SRError(
            f"trainer.accelerator={accelerator}: PyTorch finds no such device here; give trainer.accelerator=cpu or "
            "auto, or install a driver and a PyTorch for it"
        )
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not any(there.values()))
    cores = os.cpu_count() or 1
    if on_cpu and devices != "auto" and not (isinstance(devices, int) and 1 <= devices <= cores):
        raise SRError(f"trainer.devices is {devices}: this machine has {cores} CPU cores; give how many processes")
    gpus = torch.cuda.device_count()
    if not on_cpu and gpus and isinstance(devices, int) and devices > gpus:
        raise SRError(f"trainer.devices is {devices}: this machine has {gpus} GPUs; give how many of them, or auto")


def _check_stages(config: dict[str, Any]) -> None:
    """Refuse invalid stages, and settings on the command line that have no effect on stages."""
    from sr_experiments.training.stages import stage_configs

    given, stages = given_keys(), stage_configs(config)
    if "trainer.max_steps" in given:
        first = stages[0]["name"]
        raise SRError(f"trainer.max_steps is the sum of the stages here: set stage.{first}.steps and the like instead")
    for key in given:
        name = key.split(".")[1] if key.startswith("stage.") and key.count(".") > 1 else config["stages"][0]
        if name not in config["stages"]:
            log.warning("%s has no effect: %s is not among stages=[%s]", key, name, ",".join(config["stages"]))
    for term in {term for stage in stages for key in ("losses", "gan_losses") for term in stage.get(key, {})}:
        if f"loss.terms.{term}.weight" in given:
            raise SRError(f"loss.terms.{term}.weight has no effect on stages: set the weights in stage.<name>.losses")
