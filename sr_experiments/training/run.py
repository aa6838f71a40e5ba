"""The story of a run: configuration, folder, data and networks, training, and what to do next."""

import contextlib
import logging
import os
import platform
import signal
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from sr_experiments.data.workers import worker_message
from sr_experiments.errors import SRError
from sr_experiments.files import write_json, writing_failed
from sr_experiments.messages import show_messages, write_messages
from sr_experiments.presence import is_present, present
from sr_experiments.report.state import read_summary
from sr_experiments.training.assemble import Assembly, assemble
from sr_experiments.training.callbacks import (
    Alerts,
    Checkpoints,
    Clips,
    GANHealth,
    Gradients,
    Interrupted,
    ProgressLine,
    Record,
    Samples,
    signals_given_back,
)
from sr_experiments.training.callbacks.pruning import pruning, state_at_the_end
from sr_experiments.training.configuration import is_sweep, plain_config, save_config, sweep_folder
from sr_experiments.training.loggers import MetricsCSV, tensorboard_logger
from sr_experiments.training.outcome import print_outcome
from sr_experiments.training.run_folder import SLURM_JOB, git_state, new_run_folder
from sr_experiments.training.wandb_run import define_best, start_wandb, wandb_runs

log = logging.getLogger(__name__)

REQUEUE = signal.SIGUSR2  # Slurm's, near the time limit of a job of submitit, which then requeues it
LONGEST_GRACE = 3600.0  # seconds that a job that was told to end waits for its end; KillWait is usually 30
RUN_FOLDER_VARIABLE = "SR_RUN_FOLDER"  # tells the processes that DDP starts where rank 0 writes
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "torchmetrics", "lpips", "kornia", "numpy", "sr-experiments")


def train_command(cfg: DictConfig) -> float | None:
    """`python train.py`: train, and end with one line and exit code 2 where the user has to mend something.

    Returns:
        The best value of the monitored metric, for sweepers.

    Raises:
        SystemExit: with 2 after an error of the user's, with 128 + its number after a signal.
        Exception: in a job of a sweep, whatever went wrong, for the sweep to list.
    """
    console = Console(stderr=True)
    set_up_logging(console)
    try:
        return _train(cfg, console)
    except SRError as error:
        console.print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True, highlight=False)
        if is_sweep():
            raise
        raise SystemExit(2) from error
    except Interrupted as stop:
        if stop.signal == REQUEUE:
            signal.raise_signal(REQUEUE)  # now its own handler, which requeues the job and exits
        if stop.signal == signal.SIGTERM and SLURM_JOB in os.environ:
            _wait_for_slurm()
        raise SystemExit(128 + stop.signal) from stop
    except Exception:
        if is_sweep():
            log.exception("this job failed")
        raise


def _wait_for_slurm() -> None:
    """Slurm requeues a preempted job only if it is still there at the end of its grace time, and kills it then."""
    log.info("saved; waiting for Slurm to requeue or end this job")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(LONGEST_GRACE)


def _train(cfg: DictConfig, console: Console) -> float | None:
    config, folder = plain_config(cfg)
    resuming = folder is not None
    checkpoint = folder / "checkpoints" / "last.ckpt" if folder else None
    resume_step, best = _saved(checkpoint) if checkpoint else (0, {})
    if folder and _is_rank_zero() and is_present(folder):
        raise SRError(f"{folder} is being trained by another process: wait for it, or end it (Ctrl-C there)")
    if folder and resume_step >= config["trainer"]["max_steps"]:
        if is_sweep():
            return _finished_before(folder, best)
        raise SRError(
            f"this run is finished, at step {resume_step}: to go on give trainer.max_steps=<more than {resume_step}>"
        )

    pl.seed_everything(config["seed"], verbose=False)
    assembly = assemble(config if not resuming else {**config, "init_from": None})
    if folder is None:
        folder = _new_folder(config)
    if _is_rank_zero():
        write_messages(folder / "train.log")
    if not resuming and _is_rank_zero():
        save_config(config, folder)
    log.info("%s in %s", "resuming" if resuming else "training", folder)

    loggers = _loggers(config, folder, resume_step) if _is_rank_zero() else []
    trainer, record = _trainer(config, assembly, folder, loggers, console)
    for logger in loggers:
        define_best(logger, assembly.module)
    state, error_line = "failed", ""
    with present(folder) if _is_rank_zero() else contextlib.nullcontext():
        try:
            with signals_given_back():
                trainer.fit(assembly.module, assembly.data, ckpt_path=checkpoint, weights_only=True)
            state = state_at_the_end(trainer)
        except Interrupted:
            state = "interrupted"
            raise
        except Exception as error:
            mended = as_user_error(error, folder)
            error_line = str(mended or error)
            if mended is None or mended is error:
                raise
            raise mended from error
        finally:
            try:
                record.write_summary(assembly.module, state, error_line)
            except SRError as unwritable:
                log.error("%s", unwritable)
            kept = record.checkpoints
            sync = next((run.finish(state, kept.best_step, kept.best_values) for run in wandb_runs(loggers)), None)
            if _is_rank_zero():
                print_outcome(console, state, folder, config, assembly, record.checkpoints, sync)
    return record.checkpoints.best_value


# -- parts of the story ------------------------------------------------------------------------------------


def _saved(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """Of a checkpoint to resume: its step, and what the run knew of its best one."""
    if not checkpoint.is_file():
        raise SRError(f"nothing to resume: {checkpoint} does not exist; start anew without resume=")
    try:
        content = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        return int(content["sr_experiments"]["step"]), content["callbacks"][Checkpoints.__qualname__]
    except Exception as error:
        raise SRError(f"cannot resume: {checkpoint} is not a whole checkpoint ({type(error).__name__})") from error


def _finished_before(folder: Path, best: dict[str, Any]) -> float | None:
    """A job of a sweep that need not run again: its best value, also if it was killed in its very last moment."""
    summary = read_summary(folder)
    if summary.get("state") != "finished":
        summary["best"] = {"monitor": best["monitor"], "step": best["step"], "metrics": best["values"]}
        write_json(folder / "summary.json", {**summary, "state": "finished"})
    log.info("finished before: %s", folder)
    return best["value"]


def _is_rank_zero() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


def _new_folder(config: dict[str, Any]) -> Path:
    if not _is_rank_zero():  # only rank 0 writes
        return Path(os.environ.get(RUN_FOLDER_VARIABLE, config["output_dir"]))
    folder = sweep_folder() if is_sweep() else new_run_folder(Path(config["output_dir"]), config["name"])
    os.environ[RUN_FOLDER_VARIABLE] = str(folder)
    return folder


def _trainer(
    config: dict[str, Any], assembly: Assembly, folder: Path, loggers: list[Logger], console: Console
) -> tuple[pl.Trainer, Record]:
    t = config["trainer"]
    checkpoints = Checkpoints(
        folder / "checkpoints",
        t["checkpoint_every"],
        validates=lambda step: assembly.data.next_validation(step - 1) == step,
        monitor=_monitor(t["monitor"], config, assembly),
    )
    record = Record(
        t["log_every"],
        folder,
        checkpoints,
        path_of=lambda index: str(assembly.data.train_set.paths[index]),
    )
    # Record before Checkpoints: what is logged at a step is logged before the step is saved.
    callbacks: list[Callback] = [record, ProgressLine(record, checkpoints, console)]
    if config["callbacks"]["samples"]["count"]:
        callbacks.append(Samples(folder / "samples", **config["callbacks"]["samples"]))
    if config["callbacks"]["clips"]["count"] and assembly.data.clips:
        callbacks.append(Clips(folder / "samples", **config["callbacks"]["clips"]))
    if config["loss"]["name"] == "gan":
        callbacks.append(GANHealth(record, **config["callbacks"]["gan_health"]))
    for run in wandb_runs(loggers):
        callbacks += [Alerts(), *([Gradients(t["log_every"])] if run.watched else [])]
    callbacks.append(checkpoints)
    callbacks += pruning(lambda choice: _monitor(choice, config, assembly))
    try:
        trainer = pl.Trainer(
            accelerator=t["accelerator"],
            devices=t["devices"],
            num_nodes=t["num_nodes"],
            plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None,
            strategy=_strategy(t["strategy"], len(assembly.module.networks())),
            precision=precision_of(t["precision"], t["accelerator"]),
            max_epochs=-1,
            logger=loggers,
            callbacks=callbacks,
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (pl.utilities.exceptions.MisconfigurationException, ValueError, RuntimeError) as error:
        raise SRError(f"trainer: {str(error).splitlines()[0]}") from error
    if is_sweep() and trainer.world_size > 1 and trainer.strategy.launcher is not None:
        raise SRError(
            f"-m with trainer.devices={t['devices']}: the processes of one job would each run the whole sweep; "
            "sweep jobs of one device, or start each job with torchrun or Slurm"
        )
    record.facts = _facts(config, assembly, trainer)
    return trainer, record


def _monitor(choice: str, config: dict[str, Any], assembly: Assembly) -> str:
    first, metrics = assembly.module.validation.names[0], assembly.module.validation.conventions()
    if choice == "auto":
        wanted = "lpips_alex" if config["loss"]["name"] == "gan" else "psnr_y"
        if not assembly.module.makes_sr(assembly.module.max_steps - 1):
            wanted = "warp_psnr"
        choice = next((m for m in (wanted, "psnr_y") if m in metrics), next(iter(metrics)))
    key = choice if choice.startswith("val/") else f"val/{choice}" if "/" in choice else f"val/{first}/{choice}"
    known = [f"val/{name}/{metric}" for name in assembly.module.validation.names for metric in metrics]
    if key not in known:
        raise SRError(f"trainer.monitor={choice} is not measured: choose one of {', '.join(known)}")
    return key


def _strategy(strategy: str, networks: int) -> str:
    if strategy not in ("auto", "ddp"):
        # Parameters, gradients, Adam and EMA of the largest network here, RRDBNet as a GAN, take less than a gigabyte.
        raise SRError(
            f"trainer.strategy={strategy} is not supported: choose auto or ddp; no network here needs sharding"
        )
    # In each half of a GAN step, and in most stages, some network's parameters have no gradient.
    return "ddp_find_unused_parameters_true" if strategy == "ddp" and networks > 1 else strategy


def precision_of(precision: str, accelerator: str) -> Any:
    """Lightning's precision for `trainer.precision`; "auto" is bf16-mixed on a GPU that has it.

    Raises:
        SRError: an unknown one.
    """
    allowed = ("auto", "32-true", "bf16-mixed")
    if precision not in allowed:
        raise SRError(f"trainer.precision={precision} is not supported: choose one of {', '.join(allowed)}")
    if precision != "auto":
        return precision
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def _loggers(config: dict[str, Any], folder: Path, resume_step: int) -> list[Logger]:
    csv = MetricsCSV(folder, resume_step)
    loggers: list[Logger] = [csv]
    options = {k: v for k, v in config["logger"].items() if k != "name"}
    name = config["logger"]["name"]
    if name == "wandb":
        loggers.append(start_wandb(folder, config, csv.logged, **options))
    elif name == "tensorboard":
        loggers.append(tensorboard_logger(folder))
    elif name != "none":
        raise SRError(f"unknown logger {name!r}: choose one of wandb, tensorboard, none")
    return loggers


def _facts(config: dict[str, Any], assembly: Assembly, trainer: pl.Trainer) -> dict[str, Any]:
    device = torch.cuda.get_device_name() if trainer.strategy.root_device.type == "cuda" else platform.processor()
    return {
        "name": config["name"],
        "generator": assembly.module.generator_config,
        "parameters": sum(p.numel() for p in assembly.module.generator.parameters()),
        "loss": config["loss"]["name"],
        "left_out": assembly.left_out,
        "initialised_from": assembly.initialised_from,
        "seed": config["seed"],
        "device": f"{trainer.strategy.root_device.type} {device}".strip(),
        "processes": trainer.world_size,
        "precision": trainer.precision,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "git": git_state(Path(__file__).parent),
    }


def as_user_error(error: Exception, folder: Path) -> SRError | None:
    """The one line for errors that a user can mend; None for bugs."""
    if isinstance(error, SRError):
        line = worker_message(error)
        return error if line == str(error) else SRError(line)
    out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
    if out_of_memory:
        return SRError(
            "out of memory: lower data.batch_size (raise optim.accumulate to make up for it) or data.crop, or set "
            "trainer.precision=bf16-mixed; the last checkpoint is kept"
        )
    if isinstance(error, OSError):
        return writing_failed(folder, error)
    return None


# -- logging -----------------------------------------------------------------------------------------------


def set_up_logging(console: Console) -> None:
    """Messages go to the terminal above the progress bar; other libraries only with warnings."""
    show_messages(console, logging.INFO if _is_rank_zero() else logging.ERROR, times=True)
    for noisy in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Lightning's advice on the number of workers: the progress line shows the share of time spent waiting.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # The EMA weights are in eval mode, as they should be.
    warnings.filterwarnings("ignore", message=".*module\\(s\\) in eval mode.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # Runs on a cluster's login node, or in a test of one, are meant to be there.
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
