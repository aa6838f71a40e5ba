"""Build the trainer of a run: callbacks, loggers, strategy and precision; and the facts for summary.json."""

import logging
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from rich.console import Console

from sr_experiments.config.resolve import is_sweep
from sr_experiments.config.run_kind import is_gan
from sr_experiments.errors import SRError
from sr_experiments.inference.device import computes_in_bf16
from sr_experiments.metrics.monitor import resolve_monitor
from sr_experiments.runs.folder import code_state
from sr_experiments.tracking.loggers import MetricsCSV, log_settings, tensorboard_logger
from sr_experiments.tracking.wandb_run import start_wandb
from sr_experiments.training.assemble import Assembly
from sr_experiments.training.callbacks.against_start import AgainstStart
from sr_experiments.training.callbacks.augmented import Augmented
from sr_experiments.training.callbacks.checkpoints import Checkpoints
from sr_experiments.training.callbacks.clips import Clips
from sr_experiments.training.callbacks.gan_health import GANHealth
from sr_experiments.training.callbacks.gradients import Gradients
from sr_experiments.training.callbacks.inspection import Inspection
from sr_experiments.training.callbacks.progress import ProgressLine
from sr_experiments.training.callbacks.pruning import Pruning, make_pruning
from sr_experiments.training.callbacks.record import Record
from sr_experiments.training.callbacks.samples import Samples
from sr_experiments.training.validation import Validation

log = logging.getLogger(__name__)

PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "torchmetrics", "lpips", "kornia", "numpy", "sr-experiments")


def make_trainer(
    config: dict[str, Any], assembly: Assembly, folder: Path, console: Console, begins: bool
) -> tuple[pl.Trainer, Record, Pruning | None]:
    """Return the trainer of a run with all its callbacks, and of those Record and, in a sweep that prunes, Pruning.

    It has no loggers yet: what opens files comes after all that may be refused. `begins` says that the run goes on
    from no checkpoint, so that its start may be validated.

    Raises:
        SRError: settings that don't fit together, or don't fit this machine.
    """
    t, monitor = config["trainer"], monitored(config["trainer"]["monitor"], config, assembly)
    checkpoints = Checkpoints(
        folder / "checkpoints",
        t["checkpoint_every"],
        validates=lambda step: assembly.data.next_validation(step - 1) == step,
        monitor=monitor,
        patience=t.get("patience"),
    )
    against_start = AgainstStart(monitor) if t.get("validate_start") else None
    record = Record(
        t["log_every"], folder, checkpoints, lambda index: str(assembly.data.train_set.paths[index]), against_start
    )
    # Record before Checkpoints: the values of a step are logged before the step is saved, and a resume has them all.
    callbacks: list[Callback] = [
        *([against_start] if against_start else []),
        record,
        ProgressLine(record, checkpoints, console),
    ]
    if config["callbacks"]["samples"]["count"]:
        callbacks.append(Samples(folder / "samples", **config["callbacks"]["samples"], bands=assembly.data.show_bands))
    if config.get("augment"):
        callbacks.append(Augmented(folder / "samples", assembly.data.show_bands))
    if config["callbacks"]["clips"]["count"] and assembly.data.clips:
        callbacks.append(Clips(folder / "samples", **config["callbacks"]["clips"]))
    if is_gan(config):
        callbacks.append(GANHealth(record, **config["callbacks"]["gan_health"]))
    callbacks.append(Inspection(folder, assembly.data))
    if config["logger"]["name"] == "wandb" and config["logger"].get("watch") not in (None, "none"):
        callbacks.append(Gradients(t["log_every"]))
    callbacks.append(checkpoints)
    pruning = make_pruning(lambda choice: monitored(choice, config, assembly))
    if pruning is not None:
        callbacks.append(pruning)
    several = len(assembly.module.networks()) > 1
    try:
        trainer = pl.Trainer(
            accelerator=t["accelerator"],
            devices=t["devices"],
            num_nodes=t["num_nodes"],
            # Lightning must not requeue jobs itself: submitit does.
            plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None,
            # DDP waits for gradients of all parameters; in each half of a GAN step, and in most stages, some have none.
            strategy="ddp_find_unused_parameters_true" if t["strategy"] == "ddp" and several else t["strategy"],
            precision=precision_of(t["precision"], t["accelerator"]),
            max_epochs=-1,  # SRModule counts steps and stops the trainer
            logger=False,
            callbacks=callbacks,
            default_root_dir=folder,
            num_sanity_val_steps=-1 if against_start and begins else 0,  # Lightning's name for validating the start
            enable_checkpointing=False,  # Checkpoints saves
            enable_model_summary=False,
            enable_progress_bar=False,  # ProgressLine shows one
            use_distributed_sampler=False,  # the data module divides the samples among the processes
        )
    except (pl.utilities.exceptions.MisconfigurationException, ValueError, RuntimeError) as error:
        raise SRError(f"trainer: {str(error).splitlines()[0]}") from error
    device = trainer.strategy.root_device
    # PyTorch emulates bf16 on a CPU that has no instructions for it.
    if trainer.precision == "bf16-mixed" and device.type == "cpu" and not computes_in_bf16():
        log.warning("trainer.precision=bf16-mixed: this CPU doesn't compute in bf16, 32-true is several times faster")
    # Lightning starts the other ranks with this process's command line, which is that of the whole sweep.
    if is_sweep() and trainer.world_size > 1 and trainer.strategy.launcher is not None:
        raise SRError(
            f"-m with trainer.devices={t['devices']}: the processes of one job would each run the whole sweep; "
            "sweep jobs of one device, or start each job with torchrun or Slurm"
        )
    record.facts = _facts(config, assembly, trainer)
    return trainer, record, pruning


def monitored(choice: str, config: dict[str, Any], assembly: Assembly) -> str:
    """Return the key `val/<set>/<metric>` that a setting names; raises SRError if it is not measured."""
    validation = assembly.module.validation
    left_out = {what.removeprefix("metric "): why for what, why in assembly.left_out.items()}
    return "/".join(("val", *resolve_monitor(choice, config, validation.metrics, validation.names, left_out)))


def precision_of(precision: str, accelerator: str) -> Any:
    """Return Lightning's precision for `trainer.precision`; "auto" is bf16-mixed on a GPU that supports it."""
    if precision != "auto":
        return precision
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def make_loggers(config: dict[str, Any], folder: Path, validation: Validation, resume_step: int = 0) -> list[Logger]:
    """Return the logger of metrics.csv and the one that `logger` names; raises SRError if that is not installed.

    The metrics of the validation get a best value in the summary of the W&B run.
    """
    name = config["logger"]["name"]
    options = {k: v for k, v in config["logger"].items() if k != "name"}
    others: list[Logger] = []
    csv = MetricsCSV(folder, resume_step)
    if name == "wandb":
        run = start_wandb(folder, config, csv.logged, **options)
        for place in validation.names:
            for key, metric in validation.metrics.items():
                run.define_best(f"val/{place}/{key}", metric.higher_is_better)
        others.append(run)
    if name == "tensorboard":
        board = tensorboard_logger(folder)
        log_settings(board, config, (f"val/{place}/{key}" for place in validation.names for key in validation.metrics))
        others.append(board)
    csv.open()
    return [csv, *others]


def _facts(config: dict[str, Any], assembly: Assembly, trainer: pl.Trainer) -> dict[str, Any]:
    """Return the entries of summary.json that do not change while the run trains."""
    cuda = trainer.strategy.root_device.type == "cuda"
    # The vector instructions of a CPU decide the order of sums, and so the last bits of results.
    device = torch.cuda.get_device_name() if cuda else f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {
        "name": config["name"],
        "generator": assembly.module.generator_config,
        "parameters": sum(p.numel() for p in assembly.module.generator.parameters()),
        "loss": config["loss"]["name"],
        "left_out": assembly.left_out,
        **({"substituted": assembly.substituted} if assembly.substituted else {}),
        **({"pretrained": assembly.pretrained} if assembly.pretrained else {}),
        "initialised_from": assembly.initialised_from,
        "seed": config["seed"],
        "device": f"{trainer.strategy.root_device.type} {device}",
        "processes": trainer.world_size,
        "threads": torch.get_num_threads(),
        "precision": trainer.precision,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "git": code_state(),
    }
