"""Jobs side by side on one machine: each a process of its own, with its share of the cores or its own GPU.

joblib's process pool (loky), but a pool for each job: its memory and that of its GPU are free when it ends, and a job
that is killed takes no other with it.
"""

import os
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sr_experiments.errors import SRError
from sr_experiments.sweeps.jobs import Job, Jobs, error_of, run

OUTPUT = "output.log"
CORES_OF_A_JOB = 4  # at least, where there are enough, with n_jobs=auto
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_jobs(jobs: Jobs, n_jobs: int | str = "auto") -> list[JobReturn]:
    """Run the jobs of a sweep, `n_jobs` at a time.

    Args:
        jobs: what to run.
        n_jobs: how many at a time; "auto": one on each GPU, without GPUs one for each four cores, at least two.

    Returns:
        What each returned; failed ones, also those whose process died, hold their error.

    Raises:
        SRError: not a number of jobs, or joblib is missing.
    """
    slots = _slots(n_jobs, len(jobs.jobs))
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for slot in slots:
        free.put(slot)
    done: dict[int, JobReturn] = {}
    console = Console(stderr=True)
    with progress_of_jobs(console) as progress, ThreadPoolExecutor(len(slots)) as pool:
        bar = progress.add_task(f"{len(jobs.jobs)} jobs, {len(slots)} at a time", total=len(jobs.jobs))
        running = {pool.submit(_run_one, jobs, job, free): job for job in jobs.jobs}
        try:
            for future in as_completed(running):
                job = running[future]
                done[job.number] = future.result()
                error = error_of(done[job.number])
                how = f"failed: {error}" if error else "finished"
                progress.console.print(f"{job.name} {how}", markup=False, highlight=False, soft_wrap=True)
                progress.advance(bar)
        except KeyboardInterrupt:  # the jobs get it too: they save, and end
            for future in running:
                future.cancel()
            raise
    return [done[job.number] for job in jobs.jobs]


def _run_one(jobs: Jobs, job: Job, free: "queue.SimpleQueue[dict[str, str]]") -> JobReturn:
    from joblib.externals.loky import ProcessPoolExecutor

    slot = free.get()
    job.folder.mkdir(parents=True, exist_ok=True)
    try:
        with ProcessPoolExecutor(max_workers=1, env=slot) as process:
            try:
                output = str(job.folder / OUTPUT)
                return process.submit(_in_its_process, output, slot["SR_CORES"], jobs.portable(job)).result()
            except SystemExit as stop:
                return job.failed(f"stopped with exit code {stop.code}; see {output}")
            except Exception as error:  # the process died, or what it returned could not be sent
                reason = (str(error).splitlines() or [""])[0]
                return job.failed(f"its process ended without a word ({reason[:100]}); see {output}")
    finally:
        free.put(slot)


def _in_its_process(output: str, cores: str, arguments: tuple[Any, ...]) -> JobReturn:
    """Run a job in a new process, whose words go to a file."""
    with Path(output).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    return run(*arguments)


def _slots(n_jobs: int | str, jobs: int) -> list[dict[str, str]]:
    """The environments of jobs that run at the same time."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    gpus = _gpus()
    if n_jobs == "auto":
        n_jobs = len(gpus) or max(2, len(cores) // CORES_OF_A_JOB)
    if not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs < 1:
        raise SRError(f"hydra.launcher.n_jobs={n_jobs}: give a number of jobs of at least 1, or auto")
    count = min(n_jobs, jobs)
    slots = []
    for i, own in enumerate(_shares(cores, count)):
        slot = dict.fromkeys(THREADS, str(len(own))) | {"SR_CORES": ",".join(map(str, own))}
        if gpus:
            slot["CUDA_VISIBLE_DEVICES"] = gpus[i % len(gpus)]
        slots.append(slot)
    return slots


def _shares(cores: Sequence[int], count: int) -> list[Sequence[int]]:
    """Cores of each of `count` jobs; with more jobs than cores they share."""
    if count > len(cores):
        return [[cores[i % len(cores)]] for i in range(count)]
    return [cores[len(cores) * i // count : len(cores) * (i + 1) // count] for i in range(count)]


def _gpus() -> list[str]:
    """Names of the GPUs that jobs may use."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(i) for i in range(count)]


@contextmanager
def progress_of_jobs(console: Console) -> Iterator[Progress]:
    """A bar with the time that is left, on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
