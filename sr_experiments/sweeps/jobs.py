"""The jobs of a sweep, and what comes back from them."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from sr_experiments.errors import SRError


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        number: from 0, in the sweep.
        overrides: its command line.
        config: composed, with Hydra's own part.
        folder: its run folder.
    """

    number: int
    overrides: list[str]
    config: DictConfig
    folder: Path

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name

    def failed(self, error: str) -> JobReturn:
        """What stands for a job that could not say itself how it ended."""
        done = JobReturn(overrides=self.overrides, cfg=None, hydra_cfg=self.config, status=JobStatus.FAILED)
        done.return_value = SRError(error)
        return done


class Jobs:
    """What a launcher is to run.

    Args:
        hydra_context: Hydra's.
        task_function: what a job calls with its configuration.
        config: of the sweep.
        overrides: of each job.
        first: number of the first job.
    """

    def __init__(
        self,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
        overrides: Sequence[Sequence[str]],
        first: int,
    ) -> None:
        setup_globals()
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.overrides = [list(own) for own in overrides]
        self.jobs = [self._job(own, first + i) for i, own in enumerate(self.overrides)]

    def _job(self, overrides: list[str], number: int) -> Job:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = number
            config.hydra.job.num = number
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)
        try:
            folder = Path(config.hydra.sweep.dir).absolute() / str(config.hydra.sweep.subdir)
        finally:
            HydraConfig.instance().cfg = before
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        return Job(number, list(filter_overrides(overrides)), config, folder)

    def portable(self, job: Job) -> tuple[Any, ...]:
        """Arguments of `run`, for another process."""
        return self.hydra_context, self.task_function, job.config, Singleton.get_state()


def run(context: HydraContext, task_function: TaskFunction, config: DictConfig, state: dict[type, Any]) -> JobReturn:
    """Run a job in this process, made for it; what it returns can be sent to another."""
    Singleton.set_state(state)
    setup_globals()
    done = run_job(
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )
    return sendable(done)


def sendable(done: JobReturn) -> JobReturn:
    """The same with an error that any process can unpickle."""
    if done.status == JobStatus.FAILED:
        error = done._return_value
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # whatever a library's exception thinks of being pickled
            done.return_value = SRError(f"{type(error).__name__}: {error}")
    return done


def error_of(done: JobReturn) -> str:
    """One line on why a job failed, empty if it didn't."""
    if done.status != JobStatus.FAILED:
        return ""
    error = done._return_value
    said = (str(error).strip().splitlines() or [""])[0]
    return said if isinstance(error, SRError) else f"{type(error).__name__}: {said}".rstrip(": ")


def folder_of(done: JobReturn) -> Path:
    """A job's run folder."""
    assert done.hydra_cfg is not None
    return Path(done.hydra_cfg.hydra.runtime.output_dir)
