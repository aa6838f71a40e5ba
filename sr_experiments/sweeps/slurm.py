"""Jobs as a Slurm array, submitted with hydra-submitit-launcher and watched until all have ended.

A job near its time limit saves and requeues itself; a preempted or requeued one goes on in its folder from its last
checkpoint. The published plug-in's own `launch` gives all results up when one job is killed: here they are waited for
one by one, with `squeue`, so that no accounting database is needed.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from rich.console import Console

from sr_experiments.errors import SRError
from sr_experiments.sweeps.jobs import Job, Jobs, error_of, sendable
from sr_experiments.sweeps.local import progress_of_jobs

EVERY = 5.0  # seconds between two looks at the queue
PATIENCE = 60.0  # seconds that a job may be out of the queue before its result is there, on a slow file system


def run_jobs(jobs: Jobs, options: dict[str, Any]) -> list[JobReturn]:
    """Submit the jobs of a sweep as one array and wait for them.

    Args:
        jobs: what to run.
        options: of hydra-submitit-launcher.

    Returns:
        What each returned; failed ones, also those that were killed or cancelled, hold their error.

    Raises:
        SRError: no Slurm here, the plug-in is missing, or Slurm refused the jobs.
    """
    submitted = _submit(jobs, options)
    console = Console(stderr=True)
    ids = ", ".join(str(job.job_id) for job in submitted)
    console.print(f"Slurm jobs {ids}; follow them with sr runs {jobs.jobs[0].folder.parent} --watch", soft_wrap=True)
    done: dict[int, JobReturn] = {}
    seen = [time.monotonic()] * len(submitted)
    try:
        with progress_of_jobs(console) as progress:
            bar = progress.add_task("", total=len(submitted))
            while len(done) < len(submitted):
                states = _queue(str(submitted[0].job_id).split("_")[0])
                for i, (job, one) in enumerate(zip(jobs.jobs, submitted, strict=True)):
                    if i in done:
                        continue
                    if str(one.job_id) in states:
                        seen[i] = time.monotonic()
                    if one.paths.result_pickle.exists():
                        done[i] = _result(job, one)
                    elif time.monotonic() - seen[i] > PATIENCE:
                        done[i] = job.failed(f"Slurm job {one.job_id} was killed or cancelled; see {one.paths.stderr}")
                    if i in done:
                        error = error_of(done[i])
                        how = f"failed: {error}" if error else "finished"
                        progress.console.print(f"{job.name} {how}", markup=False, highlight=False, soft_wrap=True)
                running = sum(state == "RUNNING" for state in states.values())
                text = f"{len(submitted)} jobs, {running} running"
                progress.update(bar, completed=len(done), description=text)
                if len(done) < len(submitted):
                    time.sleep(EVERY)
    except KeyboardInterrupt:
        console.print(f"the jobs go on; to end them: scancel {str(submitted[0].job_id).split('_')[0]}")
        raise
    return [done[i] for i in range(len(submitted))]


def _submit(jobs: Jobs, options: dict[str, Any]) -> Sequence[Any]:
    try:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
    except ImportError as error:
        raise SRError('hydra/launcher=slurm needs the slurm extra: pip install "sr-experiments[slurm]"') from error

    class SendableJobs(SlurmLauncher):  # what a job calls, and what requeues it
        def __call__(self, *arguments: Any) -> JobReturn:
            return sendable(super().__call__(*arguments))

    launcher = SendableJobs(**options)
    launcher.setup(hydra_context=jobs.hydra_context, task_function=jobs.task_function, config=jobs.config)
    params = dict(launcher.params)
    folder, retries = params.pop("submitit_folder"), params.pop("max_num_timeout")
    general = set(BaseQueueConf.__dataclass_fields__)
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=retries)
        executor.update_parameters(
            **{key if key in general else f"slurm_{key}": value for key, value in params.items() if value is not None}
        )
        state = Singleton.get_state()
        arguments = [
            (list(own), "hydra.sweep.dir", job.number, f"job_id_for_{job.number}", state)
            for own, job in zip(jobs.overrides, jobs.jobs, strict=True)
        ]
        return list(executor.map_array(launcher, *zip(*arguments, strict=True)))
    except (RuntimeError, NameError, subprocess.CalledProcessError, submitit.core.utils.FailedJobError) as error:
        raise SRError(f"Slurm takes no jobs: {(str(error).strip().splitlines() or [''])[-1]}") from error


def _queue(array: str) -> dict[str, str]:
    """{job id: state} of the jobs of an array that wait or run; of one job, if that is all there is."""
    command = ["squeue", "--noheader", "--array", "--jobs", array, "--format", "%i %T"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SLURM_TIME_FORMAT": "standard"})
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2 and line[1] not in ("COMPLETED", "CANCELLED")}


def _result(job: Job, submitted: Any) -> JobReturn:
    try:
        return submitted.results()[0]
    except Exception as error:  # the job's own, or submitit's that there is none
        lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
        return job.failed(f"{lines[-1].strip()[:200]}; see {Path(submitted.paths.stderr)}")
