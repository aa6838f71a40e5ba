"""The story of a run: configuration, folder, data and networks, training, and what to do next."""

import contextlib
import logging
import os
import signal
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from sr_experiments.config.offline import offline
from sr_experiments.config.resolve import is_sweep, plain_config, save_config, sweep_folder
from sr_experiments.data.workers import worker_message
from sr_experiments.errors import NotFinite, SRError, one_line
from sr_experiments.files import remove_temporaries, write_json, writing_failed
from sr_experiments.inference.device import out_of_memory
from sr_experiments.logging_setup import log_to_console, log_to_file
from sr_experiments.runs.folder import SLURM_JOB, new_run_folder
from sr_experiments.runs.lock import run_lock
from sr_experiments.runs.state import read_summary
from sr_experiments.tracking.loggers import MetricsCSV
from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.assemble import Assembly, assemble
from sr_experiments.training.callbacks import Checkpoints, Interrupted, Record, signals_given_back
from sr_experiments.training.callbacks.checkpoints import link_checkpoint
from sr_experiments.training.callbacks.pruning import state_at_the_end
from sr_experiments.training.rollback import agreed, roll_back
from sr_experiments.training.summary import print_summary
from sr_experiments.training.trainer import make_loggers, make_trainer

log = logging.getLogger(__name__)

REQUEUE = signal.SIGUSR2  # Slurm's, near the time limit of a job of submitit, which then requeues it
LONGEST_GRACE = 3600.0  # seconds that a job that was told to end waits for its end; KillWait is usually 30
RUN_FOLDER_VARIABLE = "SR_RUN_FOLDER"  # tells the processes that DDP starts where rank 0 writes


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
        console.print(f"[bold red]error:[/] {_escape(one_line(error))}", soft_wrap=True, highlight=False)
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
    with contextlib.ExitStack() as alone:
        alone.enter_context(offline(config["offline"]))
        checkpoint, step = None, 0
        if folder is None:
            assembly = _assembled(config)  # what is wrong with it is said before there is a folder
            folder = _new_folder(config)
            if _is_rank_zero():
                alone.enter_context(run_lock(folder))
                log_to_file(folder / "train.log")
                save_config(config, folder)
            log.info("training in %s", folder)
        else:
            if _is_rank_zero():
                alone.enter_context(run_lock(folder))
                for place in (folder, folder / "checkpoints", *folder.glob("samples/**/")):
                    remove_temporaries(place)
            for name in ("summary.json", "train.log", "checkpoints/best.ckpt"):  # else found out while it trains
                if (folder / name).is_dir():
                    raise SRError(f"{folder / name} is a folder: remove it")
            checkpoint = folder / "checkpoints" / "last.ckpt"
            step, best = _saved(checkpoint)
            if step >= config["trainer"]["max_steps"]:
                return _finished_before(config, folder, step, best)
            assembly = _assembled({**config, "init_from": None})
            if _is_rank_zero():
                log_to_file(folder / "train.log")
            log.info("resuming in %s", folder)
        loggers = make_loggers(config, folder, step, assembly.module.validation) if _is_rank_zero() else []
        session = Session(assembly, *make_trainer(config, assembly, folder, loggers, console))
        return _run(session, config, folder, checkpoint, console)


@dataclass
class Session:
    """What trains, from a start or a resume to its end."""

    assembly: Assembly
    trainer: pl.Trainer
    record: Record

    def fit(self, checkpoint: Path | None) -> NotFinite | None:
        """Train; what became NaN is returned, without the traceback that would keep the networks in memory."""
        try:
            with signals_given_back():
                self.trainer.fit(self.assembly.module, self.assembly.data, ckpt_path=checkpoint, weights_only=True)
        except NotFinite as error:
            return error.with_traceback(None)
        return None


def _run(
    session: Session, config: dict[str, Any], folder: Path, checkpoint: Path | None, console: Console
) -> float | None:
    """Train to the end, going back where that is wanted; the record is brought up to date however it ends."""
    state, error_line = "failed", ""
    try:
        while (bad := session.fit(checkpoint)) is not None:
            checkpoint = folder / "checkpoints" / "last.ckpt"
            session = _gone_back(session, bad, config, folder, console)
        state = state_at_the_end(session.trainer)
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
        record, module, loggers = session.record, session.assembly.module, session.trainer.loggers
        try:
            record.write_summary(module, state, error_line)
        except SRError as unwritable:
            log.error("%s", unwritable)
        kept = record.checkpoints
        sync = next((run.finish(state, kept.best_step, kept.best_values) for run in wandb_runs(loggers)), None)
        if _is_rank_zero():
            print_summary(console, state, folder, config, session.assembly, kept, sync)
    return session.record.checkpoints.best_value


def _gone_back(session: Session, bad: NotFinite, config: dict[str, Any], folder: Path, console: Console) -> Session:
    """The session that goes on from the last good checkpoint, as a resumed run does; raises `bad` where none may."""
    options, module = config["trainer"].get("rollback", {}), session.assembly.module
    rollback = agreed(lambda: roll_back(folder / "checkpoints", module, bad, **options))
    if rollback is None:
        raise bad
    said = (
        f"{bad}; going back to step {rollback['to_step']} with learning rates times {rollback['factor']} "
        f"(rollback {len(module.rollbacks) + 1} of {options['tries']})"
    )
    log.warning("%s", said)
    loggers: list[Logger] = []
    for logger in session.trainer.loggers:
        if isinstance(logger, MetricsCSV):
            logger = csv = MetricsCSV(folder, rollback["to_step"])
        loggers.append(logger)
    for run in wandb_runs(loggers):
        run.first_step = csv.logged + 1  # it takes each step once
        run.alert(f"rollback {len(module.rollbacks) + 1}", said)
    assembly = _assembled({**config, "init_from": None})
    return Session(assembly, *make_trainer(config, assembly, folder, loggers, console))


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


def _assembled(config: dict[str, Any]) -> Assembly:
    pl.seed_everything(config["seed"], verbose=False)
    return assemble(config)


def _finished_before(config: dict[str, Any], folder: Path, step: int, best: dict[str, Any]) -> float | None:
    """The best value of a run that need not run again; one killed in its very last moment is brought to its end.

    Raises:
        SRError: it had ended, and is no job of a sweep.
    """
    summary = read_summary(folder)
    if summary.get("state") == "finished" and not is_sweep():
        raise SRError(f"this run is finished, at step {step}: to go on give trainer.max_steps=<more than {step}>")
    if summary.get("state") != "finished" and _is_rank_zero():
        last = folder / "checkpoints" / "last.ckpt"
        if best["step"] == step:
            link_checkpoint(last, "best")
        if stages := config.get("stages"):
            link_checkpoint(last, f"stage_{len(stages)}_{stages[-1]}")
        summary.pop("error", None)
        summary["best"] = {"monitor": best["monitor"], "step": best["step"], "metrics": best["values"]}
        write_json(folder / "summary.json", {**summary, "state": "finished"})
    log.info("already finished: %s", folder)
    return best["value"]


def _is_rank_zero() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


def _new_folder(config: dict[str, Any]) -> Path:
    if not _is_rank_zero():  # only rank 0 writes
        return Path(os.environ.get(RUN_FOLDER_VARIABLE, config["output_dir"]))
    folder = sweep_folder() if is_sweep() else new_run_folder(Path(config["output_dir"]), config["name"])
    os.environ[RUN_FOLDER_VARIABLE] = str(folder)
    return folder


def as_user_error(error: Exception, folder: Path) -> SRError | None:
    """The one line for errors that a user can mend; None for bugs."""
    if isinstance(error, SRError):
        line = worker_message(error)
        return error if line == str(error) else SRError(line)
    if out_of_memory(error):
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
    log_to_console(console, logging.INFO if _is_rank_zero() else logging.ERROR, times=True)
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
