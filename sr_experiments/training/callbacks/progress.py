"""The progress bar of training."""

import logging
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sr_experiments.config.resolve import sweep_job
from sr_experiments.display.terminal import WHOLE, PartsColumn, bar_column
from sr_experiments.training.callbacks.checkpoints import Checkpoints
from sr_experiments.training.callbacks.record import Record
from sr_experiments.training.module import SRModule
from sr_experiments.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(eq=False)
class ProgressLine(Callback):
    """Show step, ETA, losses, throughput, share of time spent waiting for data, and best metric so far.

    Without a terminal it logs the same as one line per log interval.
    """

    record: Record  # has the latest values
    checkpoints: Checkpoints  # has the best metric
    console: Console  # that logging writes to, so that messages appear above the bar
    bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Show the bar, at the step that the run starts or resumes at."""
        if not (trainer.is_global_zero and self.console.is_terminal):
            return
        self.bar = Progress(
            TextColumn("{task.description}", table_column=WHOLE, markup=False),
            MofNCompleteColumn(table_column=WHOLE),
            bar_column(14),
            TimeElapsedColumn(table_column=WHOLE),
            TextColumn("eta", table_column=WHOLE),
            TimeRemainingColumn(table_column=WHOLE),
            PartsColumn(),
            console=self.console,
        )
        where = self._where(module)
        self.task = self.bar.add_task(where, total=module.max_steps, completed=module.step, parts=[])
        self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: SRModule, outputs: Any, batch: Any, _: int) -> None:
        """Advance the bar, or log a line at the end of each log interval."""
        if self.bar is not None:
            self.bar.update(self.task, completed=module.step, parts=self.parts(module), description=self._where(module))
        elif module.step % self.record.log_every == 0 and trainer.is_global_zero:
            stage = module.stage() and f"{module.stage()}  "
            log.info("step %d/%d  %s%s", module.step, module.max_steps, stage, "  ".join(self.parts(module)))

    def on_validation_start(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Show that a validation is running."""
        if self.bar is not None:
            self.bar.update(self.task, parts=["validating"])

    def on_validation_end(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Log a line for each validation set, with the values of the baseline."""
        if not trainer.is_global_zero:
            return
        if self.bar is not None:
            self.bar.update(self.task, parts=self.parts(module))
        for name in module.validation.names:
            log.info("step %d  %s", module.step, describe(module.validation, name))

    def parts(self, module: SRModule) -> list[str]:
        """Return best metric, losses, throughput and waiting time as texts, the most telling first."""
        latest, best = self.record.latest, self.checkpoints
        parts = []
        if best.best_value is not None:
            _, name, metric = best.monitor.split("/")
            shown = metric if len(module.validation.names) == 1 else f"{name}/{metric}"
            parts.append(f"best {shown} {best.best_value:.{module.validation.metrics[metric].digits}f}")
        parts += [f"{k.removeprefix('loss/')} {v:.4g}" for k, v in latest.items() if k.startswith("loss/")]
        if "gan/margin" in latest:
            parts.append(f"D margin {latest['gan/margin']:+.2f}")
        if "speed/samples_per_second" in latest:
            parts.append(f"{latest['speed/samples_per_second']:.1f} samples/s")
            parts.append(f"data wait {latest['speed/data_wait_share']:.0%}")
        return parts

    def on_exception(self, trainer: pl.Trainer, module: SRModule, exception: BaseException) -> None:
        """Remove the bar before the last lines of a run that was stopped or failed."""
        self._remove()

    def teardown(self, trainer: pl.Trainer, module: SRModule, stage: str) -> None:
        """Remove the bar at the end of a run."""
        self._remove()

    def _where(self, module: SRModule) -> str:
        """Return the job of a sweep and the stage that the step is in."""
        job = sweep_job() and f"job {sweep_job()}"
        return " ".join(filter(None, (job, module.stage(), "step")))

    def _remove(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def describe(validation: Validation, name: str) -> str:
    """Return the metrics of a validation set as a line: `set5  psnr_y 30.12 (bicubic 28.42)  ...`.

    In the brackets are also the other ways of sampling of a flow: `steps1 30.20`.
    """
    values, parts = validation.values, [name]
    for key, value in values.items():
        _, set_name, metric = key.split("/")
        if set_name == name and metric in validation.metrics:
            digits = validation.metrics[metric].digits
            beside = {other: values.get(f"{key}_{other}") for other in (*validation.others, *validation.ways)}
            others = [f"{other} {result:.{digits}f}" for other, result in beside.items() if result is not None]
            parts.append(f"{metric} {value:.{digits}f}" + (f" ({', '.join(others)})" if others else ""))
    return "  ".join(parts)
