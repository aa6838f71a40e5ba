"""Find run folders on disk, and read runs from them, finished or not."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_experiments.config.quoting import unescaped
from sr_experiments.config.upgrade import upgraded
from sr_experiments.errors import SRError
from sr_experiments.files.walk import walk
from sr_experiments.runs.changes import Change, read_changes
from sr_experiments.runs.series import Series, read_series
from sr_experiments.runs.state import State, read_summary, state_of

STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")  # a run's folder, outputs/<name>/<timestamp>
INSIDE = ("checkpoints", "samples", "wandb", "tensorboard")  # subfolders of a run, not searched for runs


@dataclass
class Run:
    """A run, as read from its folder."""

    folder: Path  # the run folder
    name: str  # short name, unique among the runs read together
    config: dict[str, Any]  # the resolved configuration
    summary: dict[str, Any]  # content of summary.json; empty while the run has not validated yet
    state: State  # running, finished, ..., with the last step
    series: dict[str, Series]  # every logged metric
    changes: Sequence[Change] = ()  # settings that were changed when it was resumed

    @property
    def max_steps(self) -> int | None:
        """Number of steps that it is to train."""
        return max_steps(self.config, self.summary)

    @property
    def scale(self) -> int:
        """Upsampling factor; 4 if the configuration says none."""
        scale = self.config.get("scale")
        return scale if isinstance(scale, int) else 4

    @property
    def seconds(self) -> float | None:
        """Time spent so far."""
        value = self.summary.get("seconds")
        return float(value) if isinstance(value, int | float) else None

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until it has trained all its steps, while it runs."""
        if self.state.state != "running" or self.state.seconds_per_step is None or self.max_steps is None:
            return None
        return max(self.max_steps - self.state.step, 0) * self.state.seconds_per_step

    @property
    def parameters(self) -> int | None:
        """Number of parameters of the network."""
        value = self.summary.get("parameters")
        return value if isinstance(value, int) else None

    def final(self) -> dict[str, float]:
        """Return the last value of each validation metric, without those that a resumed run no longer measures."""
        told, step = _mapping(self.summary.get("final")), self.summary.get("step")
        since = step if told and isinstance(step, int) else -1
        # metrics.csv also has what was logged after the last summary.
        logged = {
            key: series.values[-1]
            for key, series in self.series.items()
            if key.startswith("val/") and (key in told or series.steps[-1] > since)
        }
        return logged or _numbers(told)

    def best(self) -> dict[str, float]:
        """Return the validation metrics of the best checkpoint; empty while there is none."""
        return _numbers(_mapping(self.summary.get("best")).get("metrics"))

    @property
    def monitor(self) -> str | None:
        """Key of the metric that decides the best checkpoint."""
        monitor = _mapping(self.summary.get("best")).get("monitor")
        return str(monitor) if monitor else None

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint."""
        step = _mapping(self.summary.get("best")).get("step")
        return step if isinstance(step, int) else None

    def left_out(self) -> dict[str, str]:
        """Return {what: why} for what could not be measured or used."""
        return {str(what): str(why) for what, why in _mapping(self.summary.get("left_out")).items()}

    def conventions(self) -> dict[str, str]:
        """Return the convention of each metric, in words."""
        return {str(key): str(text) for key, text in _mapping(self.summary.get("conventions")).items()}

    def speed(self) -> float | None:
        """Return the training throughput in samples per second: the median of the last quarter of the run."""
        series = self.series.get("speed/samples_per_second")
        if series is None:
            return None
        last = sorted(series.values[-max(len(series.values) // 4, 1) :])
        return last[len(last) // 2]


class NoRun(SRError):
    """A folder has no run, or none yet."""


def find_runs(places: Sequence[Path]) -> list[Path]:
    """Return the run folders among and below `places`, each once.

    Raises:
        NoRun: a place has no run.
        SRError: a place is missing.
    """
    found: dict[Path, Path] = {}
    for place in (path.expanduser() for path in places):
        if not place.is_dir():
            what = "is a file" if place.is_file() else "does not exist"
            raise SRError(f"{place} {what}: give run folders, outputs/<name>/<timestamp>, or a folder of runs")
        folders = _below(place)
        if not folders:
            raise NoRun(f"no run in {place}: a run's folder has a config.yaml; check the path")
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def read_run(folder: Path, name: str) -> Run:
    """Read a run, finished or not; an SRError if its config.yaml can't be read."""
    summary = read_summary(folder)
    series = read_series(folder / "metrics.csv")
    return Run(folder, name, read_config(folder), summary, state_of(folder, summary), series, read_changes(folder))


def read_config(folder: Path, advice: str = "leave this run out") -> dict[str, Any]:
    """Read the resolved configuration of a run, in today's layout; an SRError with `advice` if it can't be read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = folder / "config.yaml"
    try:
        config = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SRError(f"cannot read {path} ({reason}): {advice}") from error
    if not isinstance(config, dict):
        raise SRError(f"{path} is not the configuration of a run: {advice}")
    return upgraded({str(key): unescaped(value) for key, value in config.items()})


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return short unique names: of the folder, or of the one above a time stamp, with parents where names clash."""
    parts = [folder.absolute().parts for folder in folders]
    names = [path[-2] if STAMP.match(path[-1]) and len(path) > 2 else path[-1] for path in parts]
    # Names that clash get one more parent folder in each round.
    for depth in range(2, max(map(len, parts), default=0) + 1):
        clashing = {name for name, count in Counter(names).items() if count > 1}
        if not clashing:
            break
        names = ["/".join(path[-depth:]) if name in clashing else name for path, name in zip(parts, names, strict=True)]
    return names


def max_steps(config: dict[str, Any], summary: dict[str, Any]) -> int | None:
    """Return the number of steps that a run is to train; summary.json includes steps added when it was resumed."""
    value = summary.get("max_steps", _mapping(config.get("trainer")).get("max_steps"))
    return value if isinstance(value, int) else None


def _below(place: Path) -> list[Path]:
    found = walk(place, lambda name: name == "config.yaml", pruned=INSIDE, nested=False)
    return [Path(folder) for folder in found.folders]


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _numbers(value: Any) -> dict[str, float]:
    values = {str(k): v for k, v in _mapping(value).items() if isinstance(v, int | float)}
    return {key: float(v) for key, v in values.items() if math.isfinite(v)}
