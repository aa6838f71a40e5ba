"""Find runs on disk, and read what each has left so far."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_experiments.config.upgrade import upgraded
from sr_experiments.errors import SRError
from sr_experiments.runs.series import Series, read_series
from sr_experiments.runs.state import State, read_summary, state_of

STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")  # a run's folder, outputs/<name>/<timestamp>
INSIDE = ("checkpoints", "samples", "wandb", "tensorboard")  # of a run folder: no runs are in there


@dataclass
class Run:
    """One run.

    Attributes:
        folder: of the run.
        name: that tells it from the others.
        config: resolved.
        summary: empty while the run has not validated yet.
        state: where it stands.
        series: every logged metric.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    summary: dict[str, Any]
    state: State
    series: dict[str, Series]

    @property
    def max_steps(self) -> int | None:
        """How long it is to train."""
        return max_steps(self.config, self.summary)

    @property
    def seconds(self) -> float | None:
        """Spent on it so far."""
        value = self.summary.get("seconds")
        return float(value) if isinstance(value, int | float) else None

    def final(self) -> dict[str, float]:
        """The last value of each validation metric."""
        logged = {k: s.values[-1] for k, s in self.series.items() if k.startswith("val/")}
        return logged or _numbers(self.summary.get("final"))

    def best(self) -> dict[str, float]:
        """The validation metrics of the best checkpoint; empty while there is none."""
        return _numbers(_mapping(self.summary.get("best")).get("metrics"))

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint."""
        step = _mapping(self.summary.get("best")).get("step")
        return step if isinstance(step, int) else None

    def left_out(self) -> dict[str, str]:
        """What could not be measured or used, and why."""
        return {str(what): str(why) for what, why in _mapping(self.summary.get("left_out")).items()}

    def conventions(self) -> dict[str, str]:
        """What each metric measures."""
        return {str(key): str(text) for key, text in _mapping(self.summary.get("conventions")).items()}

    def speed(self) -> float | None:
        """Training samples a second: the middle value of the last quarter."""
        of = self.series.get("speed/samples_per_second")
        if of is None:
            return None
        last = sorted(of.values[-max(len(of.values) // 4, 1) :])
        return last[len(last) // 2]


def find_runs(places: Sequence[Path]) -> list[Path]:
    """Run folders: those given, and those anywhere in the folders given; each once.

    Raises:
        SRError: a place is not there, or has no run in it.
    """
    found: dict[Path, Path] = {}
    for place in (path.expanduser() for path in places):
        if not place.is_dir():
            what = "is a file" if place.is_file() else "does not exist"
            raise SRError(f"{place} {what}: give run folders, outputs/<name>/<timestamp>, or a folder of runs")
        folders = list(_below(place))
        if not folders:
            raise SRError(f"no run in {place}: a run's folder has a config.yaml; check the path")
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def read_run(folder: Path, name: str) -> Run:
    """Read a run, finished or not.

    Raises:
        SRError: its config.yaml can't be read.
    """
    summary = read_summary(folder)
    series = read_series(folder / "metrics.csv")
    return Run(folder, name, read_config(folder), summary, state_of(folder, summary), series)


def read_config(folder: Path, advice: str = "leave this run out") -> dict[str, Any]:
    """The resolved configuration, in today's layout.

    Raises:
        SRError: it can't be read; ends with the advice.
    """
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
        raise SRError(f"{path} is no configuration of a run: {advice}")
    return upgraded({str(key): value for key, value in config.items()})


def names_of(folders: Sequence[Path]) -> list[str]:
    """Short names that tell runs apart: the folder's, or that above a time stamp, with more where that is needed."""
    parts = [folder.absolute().parts for folder in folders]
    names = [path[-2] if STAMP.match(path[-1]) and len(path) > 2 else path[-1] for path in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        twice = {name for name, count in Counter(names).items() if count > 1}
        if not twice:
            break
        names = ["/".join(path[-depth:]) if name in twice else name for path, name in zip(parts, names, strict=True)]
    return names


def max_steps(config: dict[str, Any], summary: dict[str, Any]) -> int | None:
    """How long a run is to train; summary.json knows of steps that were added when it was resumed."""
    value = summary.get("max_steps", _mapping(config.get("trainer")).get("max_steps"))
    return value if isinstance(value, int) else None


def _below(place: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(place):
        if "config.yaml" in files:
            folders.clear()
            yield Path(root)
        folders[:] = sorted(folder for folder in folders if folder not in INSIDE and not folder.startswith("."))


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _numbers(value: Any) -> dict[str, float]:
    values = {str(k): v for k, v in _mapping(value).items() if isinstance(v, int | float)}
    return {key: float(v) for key, v in values.items() if math.isfinite(v)}
