"""Save `last.ckpt` and `best.ckpt` atomically, at intervals, at validations and when a signal stops the run."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sr_experiments.files.writing import link_or_copy, replacing
from sr_experiments.training.module import SRModule
from sr_experiments.training.signals import Interrupted, StopSignal
from sr_experiments.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Checkpoints(Callback):
    """Write `checkpoints/last.ckpt` at intervals, at every validation and on Ctrl-C or SIGTERM.

    `best.ckpt` is the checkpoint with the best monitored metric, `stage_<number>_<name>.ckpt` the one at the end of a
    stage. Losses are checked for NaN before each save, so checkpoints on disk are good. On the first Ctrl-C or SIGTERM
    the run finishes its step, saves and raises `Interrupted`; on the second it stops at once.
    """

    folder: Path  # `<run folder>/checkpoints`
    every: int  # interval in steps
    validates: Callable[[int], bool]  # whether a validation follows a step; a save due there waits for its result
    monitor: str  # metric key `val/<set>/<metric>` that decides the best checkpoint
    patience: int | None = None  # validations in a row without a better value after which the run stops
    best_value: float | None = None
    best_values: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    saved_step: int | None = None
    without_gain: int = 0  # validations since the best one
    _stop: StopSignal = field(default_factory=StopSignal)
    _due: bool = False

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know of the best checkpoint."""
        best = {"value": self.best_value, "values": self.best_values, "step": self.best_step}
        return {"monitor": self.monitor, **best, "without_gain": self.without_gain}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best checkpoint so far, unless another metric is monitored now."""
        if state_dict["monitor"] == self.monitor:
            self.best_value, self.best_step = state_dict["value"], state_dict["step"]
            self.best_values = state_dict["values"]
            self.without_gain = state_dict.get("without_gain", 0)

    @property
    def stopped(self) -> str:
        """Why the run stops before its last step; "" if it doesn't."""
        return stopped_early(self.state_dict(), self.patience)

    def on_train_start(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Complete the last save of a killed run, and listen for signals."""
        if trainer.is_global_zero and (self.folder / "last.ckpt").is_file():
            self._link(module, best=self.best_step == module.step)
        self._stop.listen()

    def on_train_batch_end(self, trainer: pl.Trainer, module: SRModule, outputs: Any, batch: Any, _: int) -> None:
        """Save if due; stop on a signal."""
        self._due = self._due or module.step % self.every == 0
        # A run that resumes from here would not repeat the validation: save, and stop, after it.
        if self.validates(module.step):
            return
        signum = self._stop.received(trainer)
        if module.at_update and (self._due or signum):
            self.save(trainer, module)
        if signum and module.at_update:
            raise Interrupted(signum)

    def on_validation_end(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Note a new best value; save; stop on a signal, or when the patience is at its end."""
        value = module.validation.values.get(self.monitor)
        if self._is_of_other_pictures(module.validation):
            log.warning(
                "step %d: %s is measured on other pictures than so far: the best checkpoint is chosen anew",
                module.step,
                self.monitor.removeprefix("val/"),
            )
            self.best_value, self.best_values, self.best_step, self.without_gain = None, {}, None, 0
        best = False
        if value is not None and module.eligible_as_best():
            higher = module.validation.higher_is_better(self.monitor)
            best = self.best_value is None or (value > self.best_value if higher else value < self.best_value)
            self.without_gain = 0 if best else self.without_gain + 1
        if best:
            self.best_value, self.best_step = value, module.step
            self.best_values = dict(module.validation.values)
        if module.at_update:
            self.save(trainer, module, best=best)
        signum = self._stop.received(trainer)
        if signum and module.at_update and module.step < module.max_steps:
            raise Interrupted(signum)
        if self.stopped and module.step < module.max_steps:
            trainer.should_stop = True
            log.info("step %d: %s", module.step, self.stopped)

    def _is_of_other_pictures(self, validation: Validation) -> bool:
        """Return whether a validation was of other pictures than the best one: the baseline's value tells.

        On the same pictures it is the same, but for the rounding of another device.
        """
        key = f"{self.monitor}_{validation.baseline}"
        before, now = (of.get(key) for of in (self.best_values, validation.values))
        return before is not None and now is not None and not math.isclose(before, now, rel_tol=1e-3)

    def save(self, trainer: pl.Trainer, module: SRModule, best: bool = False) -> None:
        """Write `last.ckpt`, atomically, and link `best.ckpt` and the stage's checkpoint to it where they are due."""
        module.check_finite()
        last = self.folder / "last.ckpt"
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(last) as temporary:
                trainer.save_checkpoint(temporary, weights_only=False)
            self._link(module, best)
        else:
            trainer.save_checkpoint(last, weights_only=False)  # a collective call, of which only rank 0 writes
        self.saved_step = module.step
        self._due = False

    def _link(self, module: SRModule, best: bool) -> None:
        """Give `last.ckpt` its other names."""
        if best:
            link_checkpoint(self.folder / "last.ckpt", "best")
        if stage := module.stage_ends.get(module.step):
            link_checkpoint(self.folder / "last.ckpt", f"stage_{stage}")


def stopped_early(state: Mapping[str, Any], patience: int | None) -> str:
    """Return why a run with this state of `Checkpoints` has stopped before its last step; "" if it hasn't."""
    if patience is None or state.get("without_gain", 0) < patience:
        return ""
    metric = state["monitor"].removeprefix("val/")
    return f"stopped after {state['without_gain']} validations without a better {metric} (trainer.patience={patience})"


def link_checkpoint(last: Path, name: str) -> None:
    """Make `<name>.ckpt` the same as `last.ckpt`: atomically and, where the file system has links, without a copy."""
    with replacing(last.with_name(f"{name}.ckpt")) as temporary:
        link_or_copy(last, temporary)
