"""The Weights & Biases run of a run folder: its name, what is logged to it, how it is resumed.

Its steps are training batches, like everywhere. docs/WANDB.md lists the keys.
"""

import contextlib
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.loggers import Logger, WandbLogger

from sr_experiments.config.offline import environment_variable, is_offline
from sr_experiments.config.quoting import shell_path, sr_command
from sr_experiments.config.resolve import is_sweep
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing
from sr_experiments.runs.folder import git_remote, git_state
from sr_experiments.runs.series import Series, read_series
from sr_experiments.tracking.artifacts import log_checkpoints, sources_of, use_sources, wandb_run_id

log = logging.getLogger(__name__)

TABLE = "samples_table"
LONGEST_TAG = 64  # characters, W&B's limit; titles of alerts must be shorter
LOGGED = "logged_step"  # file in the wandb folder: last step of the earlier sessions


class WandbRun(WandbLogger):
    """Log to a W&B run under our own steps, each step once.

    Args:
        first_step: steps before it are in W&B already; they are not logged again when a resumed run repeats them.
        tables: which image tables are uploaded: "last", "every" or "none".
        watch: "gradients" to log their histograms, or None.
        sources: checkpoints that the run was initialised from.
    """

    def __init__(self, run: Any, folder: Path, first_step: int, tables: str, watch: str | None,
                 sources: list[dict[str, Any]]) -> None:  # fmt: skip
        super().__init__(experiment=run, save_dir=str(folder))
        self.folder = folder
        self.first_step = first_step
        self.tables = tables
        self.watched = watch
        self.sources = sources
        self._logged = False
        self._rows: list[dict[str, Any]] = []
        self._alerted: set[str] = set()
        self._best_of: dict[str, str] = {}  # metric key to "max" or "min"

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values, pictures or histograms of a step; W&B merges calls with the same step into one row."""
        if step is None or step >= self.first_step:
            self.experiment.log(dict(metrics), step=step)
            self._logged = True

    def define_best(self, key: str, higher_is_better: bool) -> None:
        """Keep the best and the last value of a metric in W&B's summary, as `<key>.max` or `.min` and `<key>.last`."""
        self._best_of[key] = "max" if higher_is_better else "min"
        self.experiment.define_metric(key, summary=f"{self._best_of[key]},last")

    def set_table(self, rows: list[dict[str, Any]]) -> None:
        """Set the image table of a validation: rows of cells by column, with a step each, pictures as PIL images."""
        # A resumed run that repeats a validation has its table in W&B already.
        self._rows = rows if rows[0]["step"] >= self.first_step else []
        if self.tables == "every":
            self._log_table()

    def alert(self, kind: str, text: str) -> None:
        """Send an alert by mail or Slack, as set up in W&B; once for each kind. A failure to send it is logged only."""
        if kind in self._alerted:
            return
        self._alerted.add(kind)
        with _not_fatal("alert"):
            self.experiment.alert(title=f"{kind}: {self.experiment.name}"[: LONGEST_TAG - 1], text=text, level="WARN")

    def finish(self, state: str, best_step: int | None, best_values: Mapping[str, float]) -> str | None:
        """Log the last image table, step and values of best.ckpt, and the checkpoints, and close the W&B run.

        W&B lists a run with state failed or interrupted, as in summary.json, as failed. `best_step` is None if there is
        no best.ckpt. Return the command that uploads an offline run, None for an online one.
        """
        run, series = self.experiment, read_series(self.folder / "metrics.csv")
        with _not_fatal("image table"):
            self._log_table()
        with _not_fatal("summary"):
            if self._logged:
                run.log({}, commit=True)  # else W&B commits the last row later, and it overwrites the summary
            run.summary.update({"state": state, **self._summary(series)})
            if best_step is not None:
                run.summary.update({"best/step": best_step, **{f"best/{k[4:]}": v for k, v in best_values.items()}})
        with _not_fatal("checkpoints"):
            log_checkpoints(run, self.folder, series, best_step, self.sources)
        with _not_fatal("end of the run"):  # on a full disk W&B can't even close its own log
            run.finish(exit_code=int(state in ("failed", "interrupted")))
        if run.settings.mode != "offline":
            return None
        with _not_fatal("end of its file"):
            _wait_for_file()
        return sr_command(["sync", shell_path(self.folder)])

    def _summary(self, series: Mapping[str, Series]) -> dict[str, Any]:
        """Return best and last value of each metric over all sessions; offline, W&B knows the current one only."""
        summary = {}
        for key, best in self._best_of.items():
            values = [value for value in series[key].values if math.isfinite(value)] if key in series else []
            if values:
                summary[key] = {best: max(values) if best == "max" else min(values), "last": values[-1]}
        return summary

    def _log_table(self) -> None:
        import wandb
        from PIL.Image import Image

        if self._rows:
            columns: list[str | int] = list(dict.fromkeys(column for row in self._rows for column in row))
            cells = [[row.get(str(column)) for column in columns] for row in self._rows]
            data = [[wandb.Image(cell) if isinstance(cell, Image) else cell for cell in row] for row in cells]
            staging: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
            if self.experiment.settings.mode == "offline":
                # Copies for the later upload belong to the session, not in W&B's folder in the user's home.
                staging = environment_variable("WANDB_DATA_DIR", str(Path(self.experiment.dir).parent))
            with staging:
                self.experiment.log({TABLE: wandb.Table(columns=columns, data=data)}, commit=False)
        self._rows = []


def wandb_runs(loggers: Iterable[Logger]) -> list[WandbRun]:
    """Return the W&B loggers among `loggers`: one or none."""
    return [logger for logger in loggers if isinstance(logger, WandbRun)]


def start_wandb(
    folder: Path,
    config: Mapping[str, Any],
    logged: int,
    project: str,
    entity: str | None = None,
    group: str | None = None,
    tags: Sequence[str] | None = None,
    tables: str | None = "last",
    watch: str | None = None,
) -> WandbRun:
    """Start a W&B run in the run folder, or resume the one that is there: online if logged in, else offline.

    Its name is the last two parts of `folder`. `logged` is the last step of earlier sessions, 0 in a new run. The other
    arguments are the settings of conf/logger/wandb.yaml.

    Raises:
        SRError: W&B can't start even offline.
    """
    import wandb

    # W&B's process of another program may end before this run does, and couldn't be waited for.
    os.environ.pop("WANDB_SERVICE", None)
    run_id, sweep = wandb_run_id(folder), sweep_name(folder)
    sources = sources_of(config["init_from"])
    settings: dict[str, Any] = {
        "project": project,
        "entity": entity,
        "group": group or os.environ.get("WANDB_RUN_GROUP") or sweep,
        "name": f"{folder.parent.name}/{folder.name}",
        "dir": str(folder.absolute()),  # W&B's process may have been started in another folder
        "config": {**config, **({"initialised_from": sources} if sources else {})},
        "tags": tags_of(config, tags or ()),
        "id": run_id,
        "resume": "allow" if run_id else None,
        "job_type": "sweep" if sweep or "WANDB_SWEEP_ID" in os.environ else "train",
        # W&B itself would record a remote address with the token in it.
        "settings": wandb.Settings(
            init_timeout=60,
            silent=True,
            save_code=False,
            git_remote_url=git_remote(Path.cwd()),
            git_commit=git_state(Path.cwd()).get("commit"),
        ),
        "mode": _mode(),
        "reinit": "finish_previous",  # the run of the sweep's previous job in this process
    }
    try:
        run = wandb.init(**settings)
    # No network at the start must not cost a training: it is logged offline and uploaded later.
    except (wandb.errors.CommError, wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
        if settings["mode"] != "online":
            raise SRError(f"Weights & Biases could not start ({error}): use logger=none") from error
        log.warning("Weights & Biases can't be reached (%s): logging offline", str(error).splitlines()[0])
        run = wandb.init(**{**settings, "mode": "offline"})
    first_step = 0
    if run_id is not None:
        # Online, W&B knows the last step; an offline session knows nothing of the earlier ones.
        first_step = run.step if run.settings.mode == "online" else _last_offline_step(folder, logged) + 1
    else:
        use_sources(run, sources)
    return WandbRun(run, folder, first_step, tables or "none", None if watch == "none" else watch, sources)


def sweep_name(folder: Path) -> str | None:
    """Return the name of the sweep that a run folder belongs to; None if it belongs to none."""
    if is_sweep():
        return Path(HydraConfig.get().sweep.dir).name
    return folder.absolute().parent.name if (folder.parent / "multirun.yaml").is_file() else None


def tags_of(config: Mapping[str, Any], extra: Sequence[str]) -> list[str]:
    """Return the choices of a configuration and the extra tags, each once and cut to the length W&B allows."""
    model, loss, data = config["model"], config["loss"], config["data"]
    choices = [
        model["name"],
        model.get("arch"),
        model.get("srnet", {}).get("name"),
        loss["name"],
        loss["terms"].get("adversarial", {}).get("name"),
        data["train"].get("name"),
        config["degradation"]["name"],
        f"x{config['scale']}",
        *(f"stage:{stage}" for stage in config.get("stages", ())),
        *extra,
    ]
    return sorted({str(choice).strip()[:LONGEST_TAG] for choice in choices if choice is not None} - {""})


@contextlib.contextmanager
def _not_fatal(what: str) -> Iterator[None]:
    """Log errors of W&B instead of raising them: everything is on disk, and the run itself has not failed."""
    try:
        yield
    except Exception as error:
        log.warning("W&B did not take the %s (%s: %s)", what, type(error).__name__, error)


def _wait_for_file() -> None:
    """Wait until an offline run's file is whole: W&B's own process may still write it when `finish` has returned.

    Whoever reads the run once its lock is free, as `sr sync` does, would miss the end of it, configuration included.
    """
    import wandb

    with contextlib.suppress(SystemExit):  # W&B ends this process too where its own has failed
        wandb.teardown()


def _last_offline_step(folder: Path, logged: int) -> int:
    """Return the last step of earlier sessions.

    It is kept in a file, since a run that is killed again before it gets further has dropped those rows.
    """
    path = folder / "wandb" / LOGGED
    last = max(int(path.read_text()) if path.is_file() else 0, logged)
    with replacing(path) as temporary:
        temporary.write_text(str(last))
    return last


def _mode() -> str:
    if os.environ.get("WANDB_MODE") == "disabled":
        return "disabled"
    offline = os.environ.get("WANDB_MODE") == "offline" or is_offline()
    return "online" if not offline and _logged_in() else "offline"


def _logged_in() -> bool:
    import wandb

    try:
        return bool(wandb.login(prompt=False))
    except Exception as error:  # wandb raises many kinds; being logged out must not stop a run
        log.warning("Weights & Biases login is not usable (%s): logging offline", error)
        return False
