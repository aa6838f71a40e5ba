"""Where numbers and pictures go: metrics.csv always, and Weights & Biases or TensorBoard."""

import csv
import logging
import os
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from sr_experiments.errors import SRError
from sr_experiments.files import replacing, writing_failed

log = logging.getLogger(__name__)

FIELDS = ("step", "time", "metric", "value")


class MetricsCSV(Logger):
    """`metrics.csv`, one logged value a row: step, unix time, metric, value.

    Rows are appended as they come, so a killed run keeps them. A run resumed from step s first drops the
    rows after s, which it is about to make again.

    Args:
        folder: the run folder.
        resume_step: step that the run goes on from.
    """

    name = "csv"
    version = 0

    def __init__(self, folder: Path, resume_step: int = 0) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        rows: list[list[str]] = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                whole = [row for row in csv.reader(file) if len(row) == len(FIELDS)]
            rows = [row for row in whole[1:] if int(row[0]) <= resume_step]
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([FIELDS, *rows])

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


def wandb_logger(
    folder: Path,
    config: Mapping[str, Any],
    run_id: str | None,
    project: str,
    entity: str | None,
    group: str | None,
    tags: Sequence[str],
) -> WandbLogger:
    """A W&B run in the run folder: online if logged in, else offline.

    Args:
        folder: the run folder; its place below outputs names the W&B run.
        config: the resolved configuration.
        run_id: W&B id of the run to go on with, None for a new one.
        project: W&B project.
        entity: W&B user or team, None for the default.
        group: W&B group.
        tags: further tags; model, loss, data and scale are always there.
    """
    import wandb

    online = os.environ.get("WANDB_MODE") not in ("offline", "disabled") and _logged_in()
    choices = [str(config[g].get("name", "")) for g in ("model", "loss") if config.get(g)]
    settings: dict[str, Any] = {
        "project": project,
        "entity": entity,
        "group": group,
        "name": f"{folder.parent.name}/{folder.name}",
        "dir": str(folder),
        "config": dict(config),
        "tags": sorted({*choices, f"x{config['scale']}", *tags} - {""}),
        "id": run_id,
        "resume": "allow" if run_id else None,
        "job_type": "train",
        "settings": wandb.Settings(init_timeout=60, silent=True, save_code=False),
    }
    if os.environ.get("WANDB_MODE") == "disabled":
        settings["mode"] = "disabled"
    else:
        settings["mode"] = "online" if online else "offline"
    try:
        run = wandb.init(**settings)
    except (wandb.errors.CommError, wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
        if settings["mode"] != "online":
            raise SRError(f"Weights & Biases could not start ({error}): use logger=none") from error
        log.warning("Weights & Biases can't be reached (%s): logging offline", str(error).splitlines()[0])
        run = wandb.init(**{**settings, "mode": "offline"})
    logger = WandbLogger(experiment=run, save_dir=str(folder))
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return logger


def _logged_in() -> bool:
    import wandb

    try:
        return bool(wandb.login(prompt=False))
    except Exception as error:  # wandb raises many kinds; being logged out must not stop a run
        log.warning("Weights & Biases login is not usable (%s): logging offline", error)
        return False


def define_best(logger: Logger, module: Any) -> None:
    """Have W&B keep the best value of every validation metric in the run's summary."""
    if isinstance(logger, WandbLogger):
        for name in module.validation.names:
            for metric in module.validation.conventions():
                key = f"val/{name}/{metric}"
                goal = "max" if module.validation.higher_is_better(key) else "min"
                logger.experiment.define_metric(key, step_metric="trainer/global_step", summary=f"{goal},last")


def finish_wandb(logger: WandbLogger, checkpoints: Path, keep_best: bool) -> str | None:
    """Log the checkpoints as artifacts with aliases best and last, and close the W&B run.

    Returns:
        The command that uploads an offline run, None for an online one.
    """
    import wandb

    run = logger.experiment
    for alias in ("last", "best") if keep_best else ("last",):
        path = checkpoints / f"{alias}.ckpt"
        if path.exists():
            artifact = wandb.Artifact(f"checkpoint-{run.id}", type="model", metadata={"file": path.name})
            artifact.add_file(str(path), policy="immutable")
            run.log_artifact(artifact, aliases=[alias])
    offline = run.settings.mode == "offline"
    folder = Path(run.dir).parent
    run.finish()
    return f"wandb sync {folder}" if offline else None


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """Event files in `<run folder>/tensorboard`."""
    try:
        return TensorBoardLogger(save_dir=str(folder), name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise SRError(
            'logger=tensorboard needs the tensorboard extra: pip install "sr-experiments[tensorboard]"'
        ) from error


def wandb_run_id(folder: Path) -> str | None:
    """Id of the W&B run that a run folder already has, from the names W&B gives its folders."""
    runs = sorted((folder / "wandb").glob("*run-*-*"))
    return runs[-1].name.rsplit("-", 1)[-1] if runs else None
