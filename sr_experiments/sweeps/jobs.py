"""The jobs of a sweep, their results, and how a job runs in another process."""

import contextlib
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write
from rich.console import Console

from sr_experiments.config.resolve import JOB_VARIABLE
from sr_experiments.errors import SRError


@dataclass(frozen=True)
class Job:
    """A job of a sweep."""

    number: int  # its number in the sweep, from 0
    overrides: list[str]  # its overrides, as on the command line
    config: DictConfig  # its composed configuration, with Hydra's own part
    folder: Path  # its run folder

    def failed(self, error: str) -> JobReturn:
        """Return the result of this job where it could not return one itself: it was killed, or never started."""
        result = JobReturn(overrides=self.overrides, cfg=None, hydra_cfg=self.config, status=JobStatus.FAILED)
        result.return_value = SRError(error)
        return result


class Jobs:
    """The jobs that a launcher is asked to run, numbered from `first`, with the overrides of each.

    Raises:
        HydraException, OmegaConfBaseException: the configuration of a job can't be composed.
    """

    def __init__(
        self,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
        overrides: Sequence[Sequence[str]],
        first: int,
    ) -> None:
        setup_globals()  # registers the resolvers that configurations use
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.overrides = [list(own) for own in overrides]
        self.jobs = [self._job(own, number) for number, own in enumerate(self.overrides, first)]

    def _job(self, overrides: list[str], number: int) -> Job:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = number
            config.hydra.job.num = number
        # The folder's name refers to ${hydra:...}, which resolves against the global HydraConfig.
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)
        try:
            folder = Path(config.hydra.sweep.dir).absolute() / str(config.hydra.sweep.subdir)
        finally:
            HydraConfig.instance().cfg = before
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        return Job(number, list(filter_overrides(overrides)), config, folder)


def one_by_one(config: DictConfig) -> bool:
    """Return whether the jobs of a sweep run one after the other in this process, by its configuration."""
    return bool(config.hydra.runtime.choices["hydra/launcher"] == "basic")


@contextlib.contextmanager
def announced(console: Console, number: int, count: int, overrides: Sequence[str], name: str = "job") -> Iterator[None]:
    """Print which job of how many starts, "job 2 of 4: seed=1", and let its progress bar say so.

    For launchers that run one job after the other in this process; `number` counts from 1.
    """
    line = f"{name} {number} of {count}: {' '.join(overrides)}".rstrip(": ")
    console.print(f"\n{line}", style="bold", markup=False, highlight=False, soft_wrap=True)
    os.environ[JOB_VARIABLE] = f"{number}/{count}"
    try:
        yield
    finally:
        del os.environ[JOB_VARIABLE]


def run_in_process(
    context: HydraContext, task_function: TaskFunction, config: DictConfig, state: dict[type, Any]
) -> JobReturn:
    """Run a job in this process, which was started for it, and return its result in a form that can be pickled."""
    Singleton.set_state(state)  # Hydra's global state, which a new process does not have
    setup_globals()
    result = run_job(
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )
    return picklable(result)


def picklable(result: JobReturn) -> JobReturn:
    """Return a result whose error can be unpickled in any process: another error becomes an SRError with its text."""
    if result.status == JobStatus.FAILED:
        error = result._return_value  # `return_value` would raise it
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # exceptions of libraries raise anything while being pickled
            result.return_value = SRError(f"{type(error).__name__}: {error}")
    return result


def error_line(result: JobReturn) -> str:
    """Return why a job failed, in one line; empty if it did not."""
    if result.status != JobStatus.FAILED:
        return ""
    error = result._return_value
    line = (str(error).strip().splitlines() or [""])[0]
    return line if isinstance(error, SRError) else f"{type(error).__name__}: {line}".rstrip(": ")


def folder_of(result: JobReturn) -> Path:
    """Return a job's run folder."""
    assert result.hydra_cfg is not None
    return Path(result.hydra_cfg.hydra.runtime.output_dir)


def print_result(console: Console, job: Job, result: JobReturn) -> None:
    """Print that a job finished, or why it failed."""
    error = error_line(result)
    line = f"{job.folder.name} {f'failed: {error}' if error else 'finished'}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
