"""`hydra/launcher=joblib`: several jobs at a time on this machine, each in its own process.

A job gets a share of the CPU cores, or a GPU. It uses joblib's process pool (loky), with a pool for each job: its
memory, also the GPU's, is freed when it ends, and a killed job does not break the pool of the others.
"""

import os
import queue
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from rich.console import Console

from sr_experiments.display.terminal import job_progress
from sr_experiments.errors import SRError
from sr_experiments.sweeps.jobs import Job, Jobs, print_result, run_in_process

OUTPUT = "output.log"
CORES_PER_JOB = 4  # with n_jobs=auto, where the machine has at least twice as many
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_jobs(jobs: Jobs, n_jobs: int | str = "auto") -> list[JobReturn]:
    """Run the jobs of a sweep; return the result of each, which holds an error where a job failed or was killed.

    `n_jobs` run at a time; "auto": one per GPU, without GPUs one per four cores and at least two.

    Raises:
        SRError: `n_jobs` is no number of jobs.
    """
    slots = _slots(n_jobs, len(jobs.jobs))
    # Threads only wait for the jobs; a job takes a slot, which is its cores or GPU, and returns it at its end.
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for slot in slots:
        free.put(slot)
    results: dict[int, JobReturn] = {}
    console = Console(stderr=True)
    with job_progress(console) as progress, ThreadPoolExecutor(len(slots)) as pool:
        bar = progress.add_task(f"{len(jobs.jobs)} jobs, {len(slots)} at a time", total=len(jobs.jobs))
        running = {pool.submit(_run_one, jobs, job, free): job for job in jobs.jobs}
        try:
            for future in as_completed(running):
                job = running[future]
                results[job.number] = future.result()
                print_result(progress.console, job, results[job.number])
                progress.advance(bar)
        except KeyboardInterrupt:  # running jobs get Ctrl-C too: they save and end; the others must not start
            for future in running:
                future.cancel()
            raise
    return [results[job.number] for job in jobs.jobs]


def _run_one(jobs: Jobs, job: Job, free: "queue.SimpleQueue[dict[str, str]]") -> JobReturn:
    from joblib.externals.loky import ProcessPoolExecutor

    slot = free.get()
    job.folder.mkdir(parents=True, exist_ok=True)
    try:
        # The variables must be set before the process imports torch, which reads them then.
        with ProcessPoolExecutor(max_workers=1, env=slot) as process:
            try:
                output = str(job.folder / OUTPUT)
                arguments = (jobs.hydra_context, jobs.task_function, job.config, Singleton.get_state())
                return process.submit(_run_redirected, output, slot["SR_CORES"], arguments).result()
            # train_command exits so when a signal stops the run.
            except SystemExit as stop:
                return job.failed(f"stopped with exit code {stop.code}; see {output}")
            except Exception as error:  # the process was killed, or its result could not be pickled
                reason = (str(error).splitlines() or [""])[0]
                return job.failed(f"its process ended without a result ({reason[:100]}); see {output}")
    finally:
        free.put(slot)


def _run_redirected(output: str, cores: str, arguments: tuple[Any, ...]) -> JobReturn:
    """Run a job in this new process on the given cores, with its output in a file."""
    # The descriptors and not sys.stdout, so that the output of libraries goes there too.
    with Path(output).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    return run_in_process(*arguments)


def _slots(n_jobs: int | str, jobs: int) -> list[dict[str, str]]:
    """Return the environment variables of each of the jobs that run at the same time."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    gpus = _gpus()
    if n_jobs == "auto":
        n_jobs = len(gpus) or max(2, len(cores) // CORES_PER_JOB)
    if not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs < 1:
        raise SRError(f"hydra.launcher.n_jobs={n_jobs}: give a number of jobs of at least 1, or auto")
    count = min(n_jobs, jobs)
    cores = (cores * count)[: max(count, len(cores))]  # more jobs than cores share them
    slots = []
    for i in range(count):
        own = cores[len(cores) * i // count : len(cores) * (i + 1) // count]
        slot = dict.fromkeys(THREADS, str(len(own))) | {"SR_CORES": ",".join(map(str, own))}
        if gpus:
            slot["CUDA_VISIBLE_DEVICES"] = gpus[i % len(gpus)]
        slots.append(slot)
    return slots


def _gpus() -> list[str]:
    """Return the GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(i) for i in range(count)]
