"""From Hydra's composed configuration to the plain one that a run is built from, and to `config.yaml`."""

import os
import shlex
from pathlib import Path
from typing import Any, cast

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sr_experiments.config.schema import check
from sr_experiments.config.secrets import refuse_secrets
from sr_experiments.config.upgrade import upgraded
from sr_experiments.errors import SRError, one_line
from sr_experiments.files import replacing
from sr_experiments.runs.folder import requeued_run_folder
from sr_experiments.runs.reading import read_config
from sr_experiments.training.stages import stage_configs

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
    """Return the resolved configuration and, for a run that is resumed, its run folder.

    A run is resumed with `resume=`: it takes its own `config.yaml`, changed by the command line only. A job of a sweep
    whose folder has a checkpoint, because the sweep was restarted, resumes too, and so does a job that Slurm requeued.

    Raises:
        SRError: a value is missing or invalid; the run to resume does not exist, or has another configuration.
    """
    folder = None
    if cfg.resume is not None:
        folder = Path(str(cfg.resume))
        if not (folder / "config.yaml").is_file():
            raise SRError(f"resume={folder}: no config.yaml there; give a run folder, outputs/<name>/<timestamp>")
        saved = OmegaConf.create(read_config(folder, "restore it, or copy that of a similar run"))
        for key in HYDRA:
            saved.pop(key, None)
        for key in _overridden_keys():
            # merge=False: a group that is overridden replaces the saved one and is not mixed with it.
            OmegaConf.update(saved, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
        cfg = saved
    try:
        config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "a value"
        if "missing" in str(error).lower():
            raise SRError(f"{key} is not set: give it on the command line as {key}=...") from error
        raise SRError(f"{key} in the configuration: {str(error).splitlines()[0]}") from error
    config = upgraded(config)
    # Before anything is written.
    refuse_secrets(config)
    if HydraConfig.initialized():  # W&B records the command line
        refuse_secrets({"hydra": OmegaConf.to_container(HydraConfig.get(), resolve=False)})
    try:
        check(config)
    except SRError as error:
        raise error if folder is None else SRError(f"resume={folder}: {error}") from None
    _check_devices(config["trainer"])
    if "stages" in config:
        _check_stages(config)
        config["trainer"]["max_steps"] = training_steps(config)
    if isinstance(config["init_from"], str) and config["init_from"].startswith("<"):
        raise SRError(f"init_from is not set: this recipe starts from {config['init_from'].strip('<>')}")
    if folder is None:
        earlier = sweep_folder() if is_sweep() else requeued_run_folder(Path(config["output_dir"]), config["name"])
        if earlier and (earlier / "checkpoints" / "last.ckpt").is_file():
            folder = earlier
            _check_same_run(folder, config)
    return config, folder


def training_steps(config: dict[str, Any]) -> int:
    """Return the number of training steps of a run: of its stages together, where it has stages."""
    if "stages" in config:
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


def save_config(config: dict[str, Any], folder: Path) -> None:
    """Write `config.yaml`, which repeats the run when it is given to `train.py`."""
    place = one_line(shlex.quote(str(folder)))
    header = (
        "# The resolved configuration of this run. To repeat it:\n"
        f"#   python train.py --config-dir {place} --config-name config\n"
        "# To resume it where it stopped, also after a crash:\n"
        f"#   python train.py resume={place}\n"
    )
    with replacing(folder / "config.yaml") as temporary:
        temporary.write_text(header + OmegaConf.to_yaml({**HYDRA, **config, "resume": None}), encoding="utf-8")


def _check_same_run(folder: Path, config: dict[str, Any]) -> None:
    """Refuse to resume in the folder of a run with another configuration."""
    before, now = _values(read_config(folder, "remove the folder, or give another hydra.sweep.dir")), _values(config)
    for key in sorted({key for key, _ in before.items() ^ now.items()}):
        if key.split(".")[0] not in MAY_CHANGE:
            raise SRError(
                f"{folder} holds another run, {key}={before.get(key)}, not {now.get(key)}: give another hydra.sweep.dir"
            )


def _values(config: Any, prefix: str = "") -> dict[str, str]:
    """Return {dotted key: value as text} of a configuration."""
    if not isinstance(config, dict):
        return {prefix: str(config)}
    return {k: v for key, inner in config.items() for k, v in _values(inner, f"{prefix}.{key}".lstrip(".")).items()}


def _overridden_keys() -> list[str]:
    """Return the keys given on the command line, without `resume` and `experiment`."""
    keys = []
    for override in HydraConfig.get().overrides.task:
        key = override.lstrip("+~").split("=", 1)[0].split("@")[0].replace("/", ".")
        if key not in ("resume", "experiment"):
            keys.append(key)
    return keys


def _check_devices(trainer: dict[str, Any]) -> None:
    """Refuse more CPU processes than there are cores: hundreds of them would bring the machine to a halt."""
    devices = trainer["devices"]
    on_cpu = trainer["accelerator"] == "cpu" or (trainer["accelerator"] == "auto" and not torch.cuda.is_available())
    cores = os.cpu_count() or 1
    if on_cpu and devices != "auto" and not (isinstance(devices, int) and 1 <= devices <= cores):
        raise SRError(f"trainer.devices is {devices}: this machine has {cores} CPU cores; give how many processes")


def _check_stages(config: dict[str, Any]) -> None:
    """Refuse invalid stages, and settings on the command line that have no effect on stages."""
    given, stages = _overridden_keys(), stage_configs(config)
    if "trainer.max_steps" in given:
        first = stages[0]["name"]
        raise SRError(f"trainer.max_steps is the sum of the stages here: set stage.{first}.steps and the like instead")
    for term in {term for stage in stages for key in ("losses", "gan_losses") for term in stage.get(key, {})}:
        if f"loss.terms.{term}.weight" in given:
            raise SRError(f"loss.terms.{term}.weight has no effect on stages: set the weights in stage.<name>.losses")
