"""Keep `last.ckpt` and `best.ckpt`, each replaced in one step, and end a run cleanly on a signal."""

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from sr_experiments.files import link_or_copy, replacing
from sr_experiments.runs.folder import SLURM_JOB
from sr_experiments.training.module import SRModule

log = logging.getLogger(__name__)

LISTENED_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class Interrupted(Exception):
    """The run was asked to stop and has saved itself; `signal` says by what."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signal = signum


@contextlib.contextmanager
def signals_given_back() -> Iterator[None]:
    """Whatever is installed within, by Lightning too, the signals afterwards do what they did before."""
    before = {number: signal.getsignal(number) for number in LISTENED_TO}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(number, handler)


class Checkpoints(Callback):
    """Write `checkpoints/last.ckpt` at intervals, at every validation and on Ctrl-C or SIGTERM.

    `best.ckpt` is the one with the best monitored metric, `stage_<number>_<name>.ckpt` the one at the end of a
    stage. Losses are checked for NaN before each write, so
    what is on disk is good. The first Ctrl-C or SIGTERM lets the step finish, saves and raises `Interrupted`;
    the second stops at once.

    Args:
        folder: `<run folder>/checkpoints`.
        every: save `last.ckpt` each so many steps.
        validates: whether a validation comes after so many steps; a save due there waits for its result.
        monitor: metric key `val/<set>/<metric>` that decides the best.
    """

    def __init__(self, folder: Path, every: int, validates: Callable[[int], bool], monitor: str) -> None:
        self.folder = folder
        self.every = every
        self.validates = validates
        self.monitor = monitor
        self.best_value: float | None = None
        self.best_values: dict[str, float] = {}
        self.best_step: int | None = None
        self.saved_step: int | None = None
        self._signal: int | None = None
        self._due = False

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know of the best checkpoint."""
        return {"monitor": self.monitor, "value": self.best_value, "values": self.best_values, "step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best so far over, unless another metric decides now."""
        if state_dict["monitor"] == self.monitor:
            self.best_value, self.best_step = state_dict["value"], state_dict["step"]
            self.best_values = state_dict["values"]

    # -- when to save ------------------------------------------------------------------------------------

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, pl_module: SRModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if due; stop if asked to."""
        self._due = self._due or pl_module.step % self.every == 0
        if self.validates(pl_module.step):  # a resumed run would not make up for it: save, and stop, after it
            return
        stopping = self._agree(trainer, self._signal)
        if pl_module.at_update and (self._due or stopping):
            self.save(trainer, pl_module)
        if stopping and pl_module.at_update:
            raise Interrupted(stopping)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: SRModule) -> None:  # type: ignore[override]
        """Note a new best; save; stop if asked to."""
        value = pl_module.validation.values.get(self.monitor)
        best = False
        if value is not None and pl_module.eligible_as_best():
            higher = pl_module.validation.higher_is_better(self.monitor)
            best = self.best_value is None or (value > self.best_value if higher else value < self.best_value)
        if best:
            self.best_value, self.best_step = value, pl_module.step
            self.best_values = dict(pl_module.validation.values)
        if pl_module.at_update:
            self.save(trainer, pl_module, best=best)
        stopping = self._agree(trainer, self._signal)
        if stopping and pl_module.at_update and pl_module.step < pl_module.max_steps:
            raise Interrupted(stopping)

    # -- saving ------------------------------------------------------------------------------------------

    def save(self, trainer: pl.Trainer, pl_module: SRModule, best: bool = False) -> None:
        """Write `last.ckpt` and, if this is the best, `best.ckpt`; never leave half a file."""
        pl_module.check_finite()
        last = self.folder / "last.ckpt"
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(last) as temporary:
                trainer.save_checkpoint(temporary, weights_only=False)
            if best:
                link_checkpoint(last, "best")
            if stage := pl_module.stage_ends.get(pl_module.step):
                link_checkpoint(last, f"stage_{stage}")
        else:
            trainer.save_checkpoint(last, weights_only=False)  # takes part; only rank 0 writes
        self.saved_step = pl_module.step
        self._due = False

    def _finish_saving(self, trainer: pl.Trainer, pl_module: SRModule) -> None:
        """Give `last.ckpt` its other names, if the run was killed before it could."""
        last = self.folder / "last.ckpt"
        if trainer.is_global_zero and pl_module.step and last.is_file():
            stage = pl_module.stage_ends.get(pl_module.step)
            for name, due in (("best", self.best_step == pl_module.step), (f"stage_{stage}", stage is not None)):
                if due:
                    link_checkpoint(last, name)

    # -- signals -----------------------------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: SRModule) -> None:  # type: ignore[override]
        """Listen for Ctrl-C and SIGTERM, in the place of Lightning's own handlers, within `signals_given_back`."""
        self._finish_saving(trainer, pl_module)
        for number in LISTENED_TO:
            # SIGUSR2 is of interest only to who listens to it already: submitit, near a job's time limit.
            if number != signal.SIGUSR2 or callable(signal.getsignal(number)):
                with contextlib.suppress(ValueError):  # not in the main thread: nothing to listen to
                    signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            if number == signal.SIGTERM and SLURM_JOB in os.environ:
                return  # Slurm sends it more than once; it ends a job with SIGKILL
            raise KeyboardInterrupt
        self._signal = number
        log.warning("%s: finishing this step, then saving (again to stop at once)", signal.Signals(number).name)

    @staticmethod
    def _agree(trainer: pl.Trainer, number: int | None) -> int:
        """The signal any rank has received, 0 for none; all ranks get the same answer."""
        if trainer.world_size == 1:
            return number or 0
        received = torch.tensor(number or 0, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
        return int(received)


def link_checkpoint(last: Path, name: str) -> None:
    """Make `<name>.ckpt` the same as `last.ckpt`: atomically and, where the file system has links, without a copy."""
    with replacing(last.with_name(f"{name}.ckpt")) as temporary:
        link_or_copy(last, temporary)
