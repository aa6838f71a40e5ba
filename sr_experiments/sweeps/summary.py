"""The end of a sweep: a table of its jobs, why some failed, and the commands to type next."""

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from sr_experiments.config.quoting import command_line, hydra_text, shell_path
from sr_experiments.display.terminal import make_table, print_conventions, print_error, print_labelled, stderr_console
from sr_experiments.errors import SRError
from sr_experiments.runs.metrics import digits
from sr_experiments.runs.state import read_summary
from sr_experiments.sweeps.jobs import announced, error_line, folder_of, one_by_one


class RecordingLauncher(Launcher):
    """A launcher that keeps the results of its jobs, and returns those of finished jobs only.

    Hydra's sweeper stops at the first failed job it sees. `arguments` are those of the command line.
    """

    def __init__(self, launcher: Launcher, config: DictConfig, arguments: Sequence[str]) -> None:
        self.launcher, self.config, self.arguments = launcher, config, arguments
        self.results: list[JobReturn] = []
        self.common: set[str] = set()  # overrides that all jobs share, also those that were not run

    def setup(self, **arguments: Any) -> None:
        """Do nothing: Hydra has set up the wrapped launcher already."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs."""
        results: list[JobReturn] = []
        shared = set.intersection(*map(set, job_overrides))
        self.common = self.common & shared if self.results else shared
        if one_by_one(self.config):
            # One by one, so that each can be announced, and Ctrl-C in one doesn't lose the results of those before it.
            console = stderr_console()
            for i, overrides in enumerate(job_overrides):
                own = [override for override in overrides if override not in self.common]
                with announced(console, i + 1, len(job_overrides), own):
                    results += self.launcher.launch([overrides], initial_job_idx + i)
                self.results.append(results[-1])
        else:
            results += self.launcher.launch(job_overrides, initial_job_idx)
            self.results += results
        return [result for result in results if result.status == JobStatus.COMPLETED]

    @contextlib.contextmanager
    def results_on_exit(self) -> Iterator[None]:
        """Print the results of all jobs at the end of the block, even after an error; exit with 1 if some failed."""
        console = stderr_console()
        stopped: BaseException | None = None
        try:
            with exit_on_user_error():  # no job could be started
                yield
        except (KeyboardInterrupt, SystemExit) as stop:
            stopped = stop
        if self.results:
            _print_results(console, self.results, self.common)
        failed = [result for result in self.results if result.status == JobStatus.FAILED]
        for result in failed:
            own = folder_of(result)
            console.print(f"{own.name} failed: {error_line(result)}", style="red", markup=False, soft_wrap=True)
            # Without launcher and sweeper options: a single job needs neither. It resumes in its folder.
            overrides = [override for override in result.overrides or () if not override.startswith("hydra.")]
            place = [f"hydra.sweep.dir={hydra_text(own.parent)}", f"hydra.sweep.subdir={hydra_text(own.name)}"]
            print_labelled(console, [("rerun", command_line(["-m", *overrides, *place]))])
        folder = Path(self.config.hydra.sweep.dir).absolute()
        lines = [("sweep", str(folder))]
        if failed or stopped:
            # The folder is given explicitly: its default has the time of the start in it.
            given = [argument for argument in self.arguments if not argument.startswith("hydra.sweep.dir=")]
            lines.append(("continue", command_line(["-m", *given, f"hydra.sweep.dir={hydra_text(folder)}"])))
        if len(failed) < len(self.results):
            lines.append(("compare", f"sr compare {shell_path(folder)} -o report.html"))
        print_labelled(console, lines)
        if isinstance(stopped, KeyboardInterrupt):  # before a run could take Ctrl-C: no traceback is of use
            sys.exit(128 + signal.SIGINT)
        if stopped is not None:
            raise stopped
        if failed:
            sys.exit(1)


@contextlib.contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Print an SRError as one line and exit with code 2."""
    try:
        yield
    except SRError as error:
        print_error(stderr_console(), error)
        sys.exit(2)


def _print_results(console: Console, results: Sequence[JobReturn], common: set[str]) -> None:
    """Print a table of jobs: name, overrides besides the `common` ones, state, last step, value of one metric.

    The metric is the one that most jobs monitor; a job that monitors another is named below the table.
    """
    summaries = [read_summary(folder_of(result)) for result in results]
    monitors = [str((summary.get("best") or {}).get("monitor") or "") for summary in summaries]
    metric = max(filter(None, monitors), key=monitors.count, default="")  # of equally many the first
    name = metric.removeprefix("val/")
    rows, others = [], dict[str, list[str]]()
    for result, summary, monitor in zip(results, summaries, monitors, strict=True):
        folder = folder_of(result).name
        own = " ".join(o for o in result.overrides or () if o not in common)
        state = "failed" if result.status == JobStatus.FAILED else str(summary.get("state", "?"))
        rows.append((escape(folder), escape(own), state, str(summary.get("step", "-")), _value(summary, metric)))
        if monitor and monitor != metric:
            others.setdefault(monitor.removeprefix("val/"), []).append(folder)
    console.print(make_table(("job", "overrides", "state", "step", f"best {escape(name)}"), rows, left=3))
    for other, folders in others.items():
        what = f"{', '.join(folders)}: {other} chose the best checkpoint, at which {name} is what the table shows"
        console.print(f"note: {what}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    print_conventions(console, {k: v for summary in summaries for k, v in (summary.get("conventions") or {}).items()})


def _value(summary: dict[str, Any], metric: str) -> str:
    """Return the value of a metric at the best checkpoint, or the last one before there is a best checkpoint."""
    best = summary.get("best") or {}
    for metrics, suffix in ((best.get("metrics"), ""), (summary.get("final"), " (last)")):
        value = (metrics or {}).get(metric)
        if isinstance(value, int | float):
            return f"{value:.{digits(metric, [summary])}f}{suffix}"
    return "-"
