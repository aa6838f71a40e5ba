"""A progress bar that says what one wants to know while waiting."""

import logging
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from sr_experiments.training.callbacks.checkpoints import Checkpoints
from sr_experiments.training.callbacks.record import Record
from sr_experiments.training.module import SRModule
from sr_experiments.training.validation import Validation

log = logging.getLogger(__name__)


class ProgressLine(ProgressBar):
    """Step, ETA, losses, samples a second, share of time waiting for data, best metric so far.

    Without a terminal it logs the same as one line per log interval.

    Args:
        record: has the latest values.
        checkpoints: knows the best metric.
        console: where to draw; the one logging writes to.
    """

    def __init__(self, record: Record, checkpoints: Checkpoints, console: Console) -> None:
        super().__init__()
        self.record = record
        self.checkpoints = checkpoints
        self.console = console
        self.bar: Progress | None = None

    def disable(self) -> None:
        """Ranks other than 0 draw nothing."""
        self.record.latest = {}
        self._is_enabled = False

    def enable(self) -> None:
        """Rank 0 draws."""
        self._is_enabled = True

    _is_enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: SRModule) -> None:  # type: ignore[override]
        """Draw the bar, at the step the run is at."""
        if not (self._is_enabled and self.console.is_terminal):
            return
        self.bar = Progress(
            TextColumn("{task.fields[stage]} step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self.console,
        )
        self.task = self.bar.add_task("train", total=pl_module.max_steps, completed=pl_module.step, text="", stage="")
        self.bar.start()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, pl_module: SRModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance."""
        due = pl_module.step % self.record.log_every == 0
        if self.bar is not None:
            self.bar.update(self.task, completed=pl_module.step, text=self.text(), stage=pl_module.stage())
        elif due and self._is_enabled:
            stage = pl_module.stage() and f"{pl_module.stage()}  "
            log.info("step %d/%d  %s%s", pl_module.step, pl_module.max_steps, stage, self.text())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why the bar rests."""
        if self.bar is not None:
            self.bar.update(self.task, text="validating")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: SRModule) -> None:  # type: ignore[override]
        """One line for each validation set, beside bicubic."""
        if not self._is_enabled:
            return
        if self.bar is not None:
            self.bar.update(self.task, text=self.text())
        for name in pl_module.validation.names:
            log.info("step %d  %s", pl_module.step, describe(pl_module.validation, name))

    def text(self) -> str:
        """Losses, speed, waiting and best metric as one line."""
        latest = self.record.latest
        parts = [f"{k.removeprefix('loss/')} {v:.4g}" for k, v in latest.items() if k.startswith("loss/")]
        if "gan/margin" in latest:
            parts.append(f"D margin {latest['gan/margin']:+.2f}")
        if "speed/samples_per_second" in latest:
            parts.append(f"{latest['speed/samples_per_second']:.1f} samples/s")
            parts.append(f"data wait {latest['speed/data_wait_share']:.0%}")
        if self.checkpoints.best_value is not None:
            parts.append(f"best {self.checkpoints.monitor.removeprefix('val/')} {self.checkpoints.best_value:.3f}")
        return "  ".join(parts)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the terminal tidy, however the run ended."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def describe(validation: Validation, name: str) -> str:
    """Return the values of a set as one line: `set5  psnr_y 30.12 (bicubic 28.42)  ...`."""
    values, parts = validation.values, [name]
    for key, value in values.items():
        _, of, metric = key.split("/")
        if of == name and not metric.endswith(("_bicubic", "_compared")):
            digits = validation.metrics[metric].digits
            others = [
                f"{other} {values[f'{key}_{other}']:.{digits}f}"
                for other in ("bicubic", "compared")
                if f"{key}_{other}" in values
            ]
            parts.append(f"{metric} {value:.{digits}f}" + (f" ({', '.join(others)})" if others else ""))
    return "  ".join(parts)
