"""The story of a run: configuration, run lock, data and networks, loggers, trainer, fit, outcome."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
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
from sr_experiments.config.resume import changed_settings
from sr_experiments.data.workers import worker_message
from sr_experiments.display.logging_setup import log_to_file, log_training
from sr_experiments.display.terminal import print_error
from sr_experiments.errors import NotFinite, SRError, one_line
from sr_experiments.files.writing import remove_temporaries, replacing, write_json, writing_failed
from sr_experiments.inference.device import out_of_memory
from sr_experiments.losses.perceptual import PerceptualLoss
from sr_experiments.runs.changes import Change, read_changes
from sr_experiments.runs.folder import new_run_folder
from sr_experiments.runs.lock import run_lock
from sr_experiments.runs.state import read_summary
from sr_experiments.tracking.loggers import MetricsCSV
from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.assemble import Assembly, assemble
from sr_experiments.training.callbacks.checkpoints import Checkpoints, link_checkpoint, stopped_early
from sr_experiments.training.module import sizes_of_groups
from sr_experiments.training.rollback import roll_back
from sr_experiments.training.signals import Interrupted, exit_interrupted, restored_signal_handlers
from sr_experiments.training.summary import print_summary
from sr_experiments.training.trainer import make_loggers, make_trainer, monitored

log = logging.getLogger(__name__)

RUN_FOLDER_VARIABLE = "SR_RUN_FOLDER"  # tells the processes that DDP starts the folder that rank 0 created


def train_command(cfg: DictConfig) -> float | None:
    """Run `python train.py`: train, and turn user errors and signals into exit codes.

    Returns:
        The best value of the monitored metric, for sweepers.

    Raises:
        SystemExit: with 2 after a user error, with 128 + its number after a signal.
        Exception: in a job of a sweep, any error, for the sweep to list.
    """
    console = Console(stderr=True)
    log_training(console, logging.INFO if _is_rank_zero() else logging.ERROR)
    try:
        return _train(cfg, console)
    except SRError as error:
        print_error(console, one_line(error))
        if is_sweep():
            raise
        raise SystemExit(2) from error
    except Interrupted as stop:
        exit_interrupted(stop)
    except Exception:
        if is_sweep():
            log.exception("this job failed")
        raise


def _train(cfg: DictConfig, console: Console) -> float | None:
    config, folder = plain_config(cfg)
    with contextlib.ExitStack() as stack:
        stack.enter_context(offline(config["offline"]))
        if folder is None:
            return _start(config, console, stack)
        return _resume(config, folder, console, stack)


def train_in(folder: Path, config: dict[str, Any], console: Console) -> None:
    """Train a new run of a checked configuration in a folder that is there, as `train_command` does.

    Raises:
        SRError: as `train_command` prints it.
        SystemExit: with 128 + its number after a signal.
    """
    log_training(console)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(offline(config["offline"]))
            _start(config, console, stack, folder)
    except Interrupted as stop:
        exit_interrupted(stop)


def _start(
    config: dict[str, Any], console: Console, stack: contextlib.ExitStack, folder: Path | None = None
) -> float | None:
    # Before there is a folder: an invalid configuration leaves none behind.
    assembly = _assemble(config)
    monitored(config["trainer"]["monitor"], config, assembly)
    folder = folder or _new_folder(config)
    if _is_rank_zero():
        stack.enter_context(run_lock(folder))
        save_config(config, folder)
    with _failure_recorded(config, folder):
        run = Run(config, folder, console, assembly, begins=True)
        run.open_logs(step=0)
    return run.train(None)


def _resume(config: dict[str, Any], folder: Path, console: Console, stack: contextlib.ExitStack) -> float | None:
    """Check everything before anything is written: a resume that is refused leaves the folder as it was."""
    if _is_rank_zero():
        stack.enter_context(run_lock(folder))
    _refuse_folders(folder)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    step, best, saved = _read_checkpoint(checkpoint)
    if step >= config["trainer"]["max_steps"] or stopped_early(best, config["trainer"].get("patience")):
        return _complete_finished_run(config, folder, step, best)
    assembly = _assemble({**config, "init_from": None})  # the weights come from the checkpoint
    assembly.module.check_resumable(**saved)
    changes = changed_settings(folder, config, step)
    run = Run(config, folder, console, assembly, begins=False, changes=changes)
    before = read_summary(folder)
    with _undone_unless_trained(folder, run):
        if _is_rank_zero():
            _remove_temporaries(folder)
            if changes != read_changes(folder):
                save_config(config, folder, changes)
        run.open_logs(step)
        _tell_what_changed(before, assembly)
        return run.train(checkpoint)


class Run:
    """A run from its start or resume to its end; it has no loggers on ranks other than 0.

    `changes` are the settings that this resume and earlier ones changed.
    """

    def __init__(
        self,
        config: dict[str, Any],
        folder: Path,
        console: Console,
        assembly: Assembly,
        begins: bool,
        changes: Sequence[Change] = (),
    ) -> None:
        self.config, self.folder, self.console, self.changes = config, folder, console, changes
        self.loggers: list[Logger] = []
        self.has_begun = False  # whether a batch was to be trained, after the checkpoint of a resume was loaded
        self._build(assembly, begins)

    def _build(self, assembly: Assembly, begins: bool = False) -> None:
        self.assembly = assembly
        self.trainer, self.record, self.pruning = make_trainer(self.config, assembly, self.folder, self.console, begins)
        self.trainer.loggers = self.loggers
        if self.changes:
            self.record.facts["changes"] = [asdict(change) for change in self.changes]

    def open_logs(self, step: int) -> None:
        """Open train.log, and the loggers of a run that begins at a step."""
        if _is_rank_zero():
            self.loggers = make_loggers(self.config, self.folder, self.assembly.module.validation, step)
            log_to_file(self.folder / "train.log")
        self.trainer.loggers = self.loggers
        log.info("%s in %s", "resuming" if step else "training", self.folder)
        for change in self.changes:
            log.info("%s", change)

    def train(self, checkpoint: Path | None) -> float | None:
        """Train to the end, from a checkpoint if one is given; return the best value of the monitored metric.

        When a loss becomes NaN, the run is rolled back where `trainer.rollback` allows it. However it ends, the
        summary is written and the loggers are closed.
        """
        state, error_line = "failed", ""
        try:
            while (bad := self._fit(checkpoint)) is not None:
                checkpoint = self._roll_back(bad)
            state = "pruned" if self.pruning is not None and self.pruning.pruned else "finished"
        except (Interrupted, KeyboardInterrupt):
            state = "interrupted"
            raise
        except Exception as error:
            # The message goes into summary.json, for `sr runs`; a bug keeps its traceback too.
            message = user_error(error, self.folder)
            error_line = str(message or error)
            if message is None or message is error:
                raise
            raise message from error
        finally:
            self._finish(state, error_line)
        return self.record.checkpoints.best_value

    def _fit(self, checkpoint: Path | None) -> NotFinite | None:
        """Train; return the error if a value became NaN or infinite."""
        try:
            with restored_signal_handlers():
                self.trainer.fit(self.assembly.module, self.assembly.data, ckpt_path=checkpoint, weights_only=True)
        except NotFinite as error:
            return error.with_traceback(None)  # its traceback would keep the networks in memory
        finally:
            self.has_begun |= self.record.has_begun
        return None

    def _roll_back(self, bad: NotFinite) -> Path:
        """Go back to the last good checkpoint with a lower learning rate; return it, or raise `bad` if none is left.

        Data, networks and trainer are built again, as for a resumed run.
        """
        options, module = self.config["trainer"].get("rollback", {}), self.assembly.module
        rollback = roll_back(self.folder / "checkpoints", module, bad, **options) if _is_rank_zero() else None
        rollback = self.trainer.strategy.broadcast(rollback)
        if rollback is None:
            raise bad
        number = len(module.rollbacks) + 1
        message = (
            f"{bad}; rolling back to step {rollback['to_step']} with learning rates times {rollback['factor']} "
            f"(rollback {number} of {options['tries']})"
        )
        log.warning("%s", message)
        if _is_rank_zero():
            csv = MetricsCSV(self.folder, rollback["to_step"])
            csv.open()
            self.loggers = [csv if isinstance(logger, MetricsCSV) else logger for logger in self.loggers]
            for run in wandb_runs(self.loggers):
                run.first_step = csv.logged + 1  # W&B takes each step once
                run.alert(f"rollback {number}", message)
        self._build(_assemble({**self.config, "init_from": None}))
        return self.folder / "checkpoints" / "last.ckpt"

    def _finish(self, state: str, error_line: str) -> None:
        """Write the summary, close the W&B run, and print the outcome."""
        try:
            self.record.write_summary(self.assembly.module, state, error_line)
        except SRError as unwritable:  # a full disk, which must not hide why the run ended
            log.error("%s", unwritable)
        best = self.record.checkpoints
        sync = next((run.finish(state, best.best_step, best.best_values) for run in wandb_runs(self.loggers)), None)
        if _is_rank_zero():
            print_summary(
                self.console, state, self.folder, self.config, self.assembly, best, self.record.against_start, sync
            )


def user_error(error: Exception, folder: Path) -> SRError | None:
    """Return the message for an error that the user can fix; None for a bug."""
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


def _assemble(config: dict[str, Any]) -> Assembly:
    pl.seed_everything(config["seed"], verbose=False)
    return assemble(config)


def _is_rank_zero() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


def _new_folder(config: dict[str, Any]) -> Path:
    """Create the run folder on rank 0; return the same folder on every rank."""
    if not _is_rank_zero():
        return Path(os.environ.get(RUN_FOLDER_VARIABLE, config["output_dir"]))
    folder = sweep_folder() if is_sweep() else new_run_folder(Path(config["output_dir"]), config["name"])
    # The processes that Lightning starts for DDP inherit the environment.
    os.environ[RUN_FOLDER_VARIABLE] = str(folder)
    return folder


@contextlib.contextmanager
def _failure_recorded(config: dict[str, Any], folder: Path) -> Iterator[None]:
    """Write the summary of a new run that ends inside the block, before it could train."""
    try:
        yield
    except BaseException as error:
        if _is_rank_zero():
            state = "failed" if isinstance(error, Exception) else "interrupted"
            said = {"error": str(user_error(error, folder) or error)} if isinstance(error, Exception) else {}
            with contextlib.suppress(SRError):  # a full disk, which must not hide why the run ended
                content = {"state": state, **said, "step": 0, "max_steps": config["trainer"]["max_steps"]}
                write_json(folder / "summary.json", content)
        raise


@contextlib.contextmanager
def _undone_unless_trained(folder: Path, run: "Run") -> Iterator[None]:
    """Restore what a resume wrote if it ends inside the block before it could load the checkpoint."""
    files = [folder / name for name in ("config.yaml", "metrics.csv", "summary.json", "train.log")]
    before = {path: path.read_bytes() if path.is_file() else None for path in files} if _is_rank_zero() else {}
    try:
        yield
    except BaseException:
        if not run.has_begun:
            for path, content in before.items():
                if path.is_dir():
                    continue  # what it is ended the resume
                if content is None:
                    path.unlink(missing_ok=True)
                elif content != path.read_bytes():
                    with replacing(path) as temporary:
                        temporary.write_bytes(content)
        raise


def _refuse_folders(folder: Path) -> None:
    """Refuse folders in the place of files that will be written."""
    for name in ("summary.json", "train.log", "checkpoints/best.ckpt"):
        if (folder / name).is_dir():
            raise SRError(f"{folder / name} is a folder: remove it")


def _remove_temporaries(folder: Path) -> None:
    """Remove unfinished files of a killed session."""
    for place in (folder, folder / "checkpoints", *folder.glob("samples/**/")):
        remove_temporaries(place)


def _tell_what_changed(before: Mapping[str, Any], assembly: Assembly) -> None:
    """Warn of losses that the run had to do without so far, or has to do without from here on."""
    earlier, now = ({} if what is None else what for what in (before.get("left_out"), assembly.left_out))
    substituted = before.get("substituted") or {}
    for name, term in assembly.module.objective.terms.items():
        kind = f"{name} loss"
        if kind in earlier and isinstance(term.loss, PerceptualLoss):
            log.warning("%s: the run was without it so far, from here on it acts: its weights can be had now", kind)
        elif (kind in substituted) != (kind in assembly.substituted):
            log.warning("%s: from here on it is computed by another network than so far; see sr weights", kind)
    for kind in now.keys() - earlier.keys() if before else ():
        if kind.endswith(" loss"):
            log.warning("%s: it acted so far, from here on the run is without it", kind)


def _read_checkpoint(checkpoint: Path) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return the step of a checkpoint to resume from, the state of `Checkpoints` in it, and what it is of."""
    if not checkpoint.is_file():
        raise SRError(f"nothing to resume: {checkpoint} does not exist; start a new run without resume=")
    try:
        content = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        record = content["sr_experiments"]
        shapes = {name: tuple(tensor.shape) for name, tensor in content["state_dict"].items()}
        saved = {  # no tensors: they keep the file open
            "generator": record["generator"],
            "shapes": shapes,
            "optimizer": record.get("optimizer", "adam"),
            "groups": sizes_of_groups(content["optimizer_states"]),
        }
        return int(record["step"]), content["callbacks"][Checkpoints.__qualname__], saved
    except Exception as error:
        raise SRError(f"cannot resume: {checkpoint} is damaged ({type(error).__name__})") from error


def _complete_finished_run(config: dict[str, Any], folder: Path, step: int, best: dict[str, Any]) -> float | None:
    """Return the best value of a run that has no steps left.

    One that was killed between its last checkpoint and its summary gets the files that are missing.

    Raises:
        SRError: the run is finished, and is no job of a sweep.
    """
    summary = read_summary(folder)
    finished = summary.get("state") == "finished"
    if finished and not is_sweep():
        if step < config["trainer"]["max_steps"]:
            raise SRError(
                f"this run has {summary.get('stopped', 'stopped')}: to continue it give trainer.patience=null"
            )
        raise SRError(f"this run is finished, at step {step}: to continue it give trainer.max_steps=<more than {step}>")
    if not finished and _is_rank_zero():
        _remove_temporaries(folder)
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
