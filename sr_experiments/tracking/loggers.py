"""Loggers besides W&B's: metrics.csv, which every run has, and TensorBoard."""

import csv
import io
import json
import math
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from sr_experiments.config.resume import dotted_values
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing, writing_failed
from sr_experiments.packages.extras import install_extra

MOST_PIXELS = 3_000_000  # of an animation in TensorBoard's event file, all frames together
FIELDS = ("step", "time", "metric", "value")


class MetricsCSV(Logger):
    """Log to `metrics.csv`, one value per row: step, unix time, metric, value.

    Rows are appended as they come, so a killed run keeps them. A run resumed from step s first drops the rows after s,
    since it will train those steps again.

    Raises:
        SRError: an earlier metrics.csv can't be read.
    """

    name = "csv"
    version = 0

    def __init__(self, folder: Path, resume_step: int = 0) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        self.logged = 0  # last step of the earlier sessions, whether its rows were dropped or not
        rows: list[list[str]] = []
        if self.path.exists():
            try:
                with self.path.open(newline="", encoding="utf-8") as earlier:
                    rows = list(csv.reader(earlier))[1:]
            except (OSError, ValueError, csv.Error) as error:
                raise SRError(f"{self.path} can't be read ({error}): move it away, what it holds is lost") from error
            rows = [row for row in rows if len(row) == len(FIELDS) and row[0].isdecimal()]  # without one cut short
            self.logged = max((int(row[0]) for row in rows), default=0)
            rows = [row for row in rows if int(row[0]) <= resume_step]
        self._kept = rows

    def open(self) -> None:
        """Write the file with the rows that stay; until then it is as it was."""
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([FIELDS, *self._kept])
        self._kept = []

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
        """Do nothing: the configuration is in config.yaml."""


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """Return the logger that writes event files to `<run folder>/tensorboard`; an SRError if it is not installed."""
    try:
        return TensorBoardLogger(save_dir=str(folder), name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise SRError(f"logger=tensorboard needs the tensorboard extra: {install_extra('tensorboard')}") from error


def log_settings(logger: TensorBoardLogger, config: Mapping[str, Any], metrics: Iterable[str]) -> None:
    """Write the settings of a run for TensorBoard's HPARAMS tab, whose table shows the last value of each metric.

    Lightning's own `log_hyperparams` would also log a value of each metric at step 0, where none was measured.

    Args:
        logger: of the run.
        config: of the run; lists, null, true and false become texts: torch writes true as the number 1.
        metrics: keys under which validation logs.
    """
    from torch.utils.tensorboard.summary import hparams

    plain = {
        key: value for key, value in dotted_values(config).items() if key.split(".")[0] not in ("hydra", "defaults")
    }
    settings = {key: v if type(v) in (int, float, str) else json.dumps(v) for key, v in plain.items()}
    for summary in hparams(settings, dict.fromkeys(metrics, math.nan)):
        logger.experiment._get_file_writer().add_summary(summary)


def log_clip(logger: TensorBoardLogger, tag: str, frames: Sequence[np.ndarray], fps: int, step: int) -> None:
    """Log frames, uint8 (H, W, 3), as an animation, of which TensorBoard shows GIF alone.

    Of a long or large clip every second frame is kept, or every third and so on, at the same pace.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    height, width = frames[0].shape[:2]
    apart = math.ceil(len(frames) * height * width / MOST_PIXELS)
    first, *others = [Image.fromarray(frame) for frame in frames[::apart]]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=round(1000 * apart / fps), loop=0)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=file.getvalue())
    logger.experiment._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)
