"""Log training scalars and validation metrics under our steps, and write summary.json."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from sr_experiments.files.writing import write_json
from sr_experiments.metrics.suite import descriptions
from sr_experiments.training.callbacks.against_start import AgainstStart
from sr_experiments.training.callbacks.checkpoints import Checkpoints
from sr_experiments.training.module import SRModule


@dataclass(eq=False)
class Record(Callback):
    """Log means over each interval of `log_every` steps, with throughput and the share of time waiting for data."""

    log_every: int  # interval in steps
    folder: Path  # the run folder, for summary.json
    checkpoints: Checkpoints  # has the best metrics
    path_of: Callable[[int], str]  # maps the index of a training image to its path, to name skipped ones
    against_start: AgainstStart | None = None  # compares validations with the start, where that is validated
    facts: dict[str, Any] = field(default_factory=dict)  # entries of summary.json besides metrics: device, versions
    latest: dict[str, float] = field(default_factory=dict)  # the values logged last, for the progress bar
    skipped: dict[str, int] = field(default_factory=dict)  # unreadable images, and how often each was drawn
    stages: dict[str, dict[str, float]] = field(default_factory=dict)  # validation values at the end of each stage
    elapsed_before: float = 0.0

    def __post_init__(self) -> None:
        self._begin = self._interval_begin = self._paused = time.perf_counter()
        self._waited = 0.0
        self._samples = 0
        self.has_begun = False  # whether training began, after the checkpoint of a resume was loaded

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent so far, the skipped images, and the results of the stages."""
        return {"elapsed": self.elapsed, "skipped": self.skipped, "stages": self.stages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore time, skipped images and stages."""
        self.elapsed_before = state_dict["elapsed"]
        self.skipped = dict(state_dict["skipped"])
        self.stages = dict(state_dict["stages"])

    @property
    def elapsed(self) -> float:
        """Seconds of training, validation and saving, over all the run's sessions."""
        return self.elapsed_before + time.perf_counter() - self._begin

    def on_train_start(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Start the clocks."""
        self.has_begun = True
        self._begin = self._interval_begin = self._paused = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, module: SRModule, batch: Any, batch_idx: int) -> None:
        """Add the time spent waiting for this batch."""
        self._waited += time.perf_counter() - module.idle_since

    def on_train_batch_end(self, trainer: pl.Trainer, module: SRModule, outputs: Any, batch: Any, _: int) -> None:
        """Count samples and skipped images; log at the end of the interval."""
        self._samples += len(batch["skipped"]) * trainer.world_size
        for index in batch["skipped"].tolist():
            # -1 marks a sample that was read.
            if index >= 0:
                path = self.path_of(index)
                self.skipped[path] = self.skipped.get(path, 0) + 1
        if module.step % self.log_every == 0 or module.step >= module.max_steps:
            values = module.drain_scalars()  # waits for the device, so the time below includes its work
            seconds = time.perf_counter() - self._interval_begin
            values["speed/samples_per_second"] = self._samples / seconds
            values["speed/data_wait_share"] = self._waited / seconds
            if self.skipped:
                values["data/images_skipped"] = float(len(self.skipped))
            # Validation values stay until the next validation.
            self.latest = {k: v for k, v in self.latest.items() if k.startswith("val/")}
            self._log(trainer, values, module.step)
            self._interval_begin, self._waited, self._samples = time.perf_counter(), 0.0, 0

    def on_validation_start(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Pause the interval's clock: validation and saving do not count for the throughput."""
        self._paused = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Restart the interval's clock; Lightning starts a new epoch after each validation."""
        self._interval_begin += time.perf_counter() - self._paused
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Log the metrics, and write summary.json."""
        values = module.validation.values
        if module.step in module.stage_ends:
            self.stages[module.stage()] = {"step": module.step, "seconds": round(self.elapsed, 1), **values}
        self._log(trainer, values, module.step)
        self.write_summary(module, "running")

    def _log(self, trainer: pl.Trainer, values: dict[str, float], step: int) -> None:
        self.latest |= values
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(values, step)

    @rank_zero_only
    def write_summary(self, module: SRModule, state: str, error: str = "") -> None:
        """Write summary.json; `state` is running, finished, pruned, interrupted or failed."""
        best = self.checkpoints
        summary = {
            "state": state,
            **({"error": error} if error else {}),
            "step": module.step,
            "max_steps": module.max_steps,
            "seconds": round(self.elapsed, 1),
            "final": module.validation.values,
            "best": {"monitor": best.monitor, "step": best.best_step, "metrics": best.best_values},
            **({"stopped": best.stopped} if best.stopped and module.step < module.max_steps else {}),
            **({"against_start": self.against_start.summary(best.best_step)} if self.against_start else {}),
            **({"stages": self.stages} if self.stages else {}),
            **({"rollbacks": module.rollbacks} if module.rollbacks else {}),
            **descriptions(module.validation.metrics),
            "last_logged": {k: v for k, v in self.latest.items() if not k.startswith("val/")},
            "skipped_images": self.skipped,
            **self.facts,
        }
        write_json(self.folder / "summary.json", summary)
