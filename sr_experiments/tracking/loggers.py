"""Where numbers and pictures go: metrics.csv always, TensorBoard; for Weights & Biases see `wandb_run`."""

import csv
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from sr_experiments.errors import SRError
from sr_experiments.files import replacing, writing_failed

FIELDS = ("step", "time", "metric", "value")


class MetricsCSV(Logger):
    """`metrics.csv`, one logged value a row: step, unix time, metric, value.

    Rows are appended as they come, so a killed run keeps them. A run resumed from step s first drops the
    rows after s, which it is about to make again.

    Attributes:
        logged: last step that was logged before, dropped or not; 0 in a new run.

    Args:
        folder: the run folder.
        resume_step: step that the run goes on from.
    """

    name = "csv"
    version = 0

    def __init__(self, folder: Path, resume_step: int = 0) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        self.logged = 0
        rows: list[list[str]] = []
        if self.path.exists():
            whole = self._whole_rows()
            rows = [row for row in whole if int(row[0]) <= resume_step]
            self.logged = max((int(row[0]) for row in whole), default=0)
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([FIELDS, *rows])

    def _whole_rows(self) -> list[list[str]]:
        """Those of before; one that a crash has cut short is left out."""
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
        except (OSError, ValueError, csv.Error) as error:
            raise SRError(f"{self.path} can't be read ({error}): move it away, what it holds is lost") from error
        return [row for row in rows if len(row) == len(FIELDS) and row[0].isdecimal()]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row for each value."""
        now = f"{time.time():.3f}"
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([step, now, key, repr(float(value))] for key, value in metrics.items())
        except OSError as error:
            raise writing_failed(self.path, error) or error from error

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration is in config.yaml."""


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """Event files in `<run folder>/tensorboard`."""
    try:
        return TensorBoardLogger(save_dir=str(folder), name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise SRError(
            'logger=tensorboard needs the tensorboard extra: pip install "sr-experiments[tensorboard]"'
        ) from error
