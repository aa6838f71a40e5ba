"""The end of a sweep: a line for each job, what failed and why, and what to type next."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sr_experiments.config.secrets import refuse_secrets
from sr_experiments.errors import SRError
from sr_experiments.runs.state import read_summary
from sr_experiments.sweeps.jobs import error_of, folder_of


class Collecting:
    """A launcher that keeps what its jobs return, and hides from the sweeper that some failed.

    Args:
        launcher: runs the jobs.
        config: of the sweep.
        arguments: of the command line.
    """

    def __init__(self, launcher: Launcher | None, config: DictConfig | None, arguments: Sequence[str]) -> None:
        assert launcher is not None and config is not None
        self.launcher, self.config, self.arguments = launcher, config, arguments
        self.done: list[JobReturn] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs."""
        done = self.launcher.launch(job_overrides, initial_job_idx)
        self.done += done
        return [one for one in done if one.status == JobStatus.COMPLETED]

    @contextlib.contextmanager
    def listed_at_the_end(self) -> Iterator[None]:
        """List the jobs that ran within, however it ends; exit with 1 if some failed."""
        console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
        stopped: BaseException | None = None
        try:
            yield
        except SRError as error:  # no job could be started
            console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            stopped = SystemExit(2)
        except (KeyboardInterrupt, SystemExit) as stop:
            stopped = stop
        if self.done:
            console.print(_table(self.done))
        failed = [one for one in self.done if one.status == JobStatus.FAILED]
        for one in failed:
            console.print(f"{folder_of(one).name} failed: {error_of(one)}", style="red", markup=False, soft_wrap=True)
            console.print(f"  again        {self._again(one)}", markup=False, highlight=False, soft_wrap=True)
        folder = Path(self.config.hydra.sweep.dir).absolute()
        lines = [("sweep", str(folder))]
        if failed or stopped:
            given = [argument for argument in self.arguments if not argument.startswith("hydra.sweep.dir=")]
            lines.append(("what is left", command_line(["-m", *given, f"hydra.sweep.dir={hydra_path(folder)}"])))
        if len(failed) < len(self.done):
            lines.append(("compare", f"sr compare {shlex.quote(str(folder))} -o report.html"))
        for label, text in lines:
            console.print(f"  {label:<13}{text}", markup=False, highlight=False, soft_wrap=True)
        if stopped is not None:
            raise stopped
        if failed:
            sys.exit(1)

    def _again(self, one: JobReturn) -> str:
        """The command that runs a job again, in its folder: it goes on from its last checkpoint if it has one."""
        folder = folder_of(one)
        own = [override for override in one.overrides or () if not override.startswith("hydra.")]
        place = [f"hydra.sweep.dir={hydra_path(folder.parent)}", f"hydra.sweep.subdir={folder.name}"]
        return command_line(["-m", *own, *place])


def check_settings(config: DictConfig) -> None:
    """End with one line, before anything is written, if the settings of a sweep hold a secret."""
    try:
        refuse_secrets(OmegaConf.to_container(config, resolve=False))
    except SRError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def command_line(arguments: Sequence[str]) -> str:
    """What to type to train with these arguments."""
    start = "uv run train.py" if "UV" in os.environ else "python train.py"
    return f"{start} {shlex.join(arguments)}"


def hydra_path(folder: Path) -> str:
    """A path as Hydra's command line takes it."""
    plain = str(folder)
    return plain if not set(plain) & set(" ,[]{}()'\"=:\\") else "'" + plain.replace("'", "\\'") + "'"


def _table(done: Sequence[JobReturn]) -> Table:
    """Job, what it was given, how it ended, its best value."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("job", "overrides", "state", "step", "best"):
        table.add_column(column, justify="right" if column in ("step", "best") else "left", overflow="fold")
    common = set.intersection(*(set(one.overrides or ()) for one in done))
    for one in done:
        summary = read_summary(folder_of(one))
        state = "failed" if one.status == JobStatus.FAILED else str(summary.get("state", "?"))
        own = " ".join(o for o in one.overrides or () if o not in common)
        table.add_row(folder_of(one).name, own, state, str(summary.get("step", "-")), _best(summary))
    return table


def _best(summary: dict[str, Any]) -> str:
    best = summary.get("best") or {}
    monitor = str(best.get("monitor"))
    name = monitor.rsplit("/", 1)[-1]
    for metrics, which in ((best.get("metrics"), ""), (summary.get("final"), " (last)")):
        value = (metrics or {}).get(monitor)
        if isinstance(value, int | float):
            return f"{name} {value:.4g}{which}"
    return "-"
