"""`hydra/launcher=slurm`: jobs as a Slurm array, submitted with hydra-submitit-launcher.

A job near its time limit saves and requeues itself; a preempted or requeued job resumes in its folder from its last
checkpoint. The published plug-in's own `launch` loses all results when one job is killed: here each job is watched
with `squeue`, which needs no accounting database.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from rich.console import Console

from sr_experiments.display.terminal import job_progress
from sr_experiments.errors import SRError
from sr_experiments.packages.extras import install_extra
from sr_experiments.sweeps.jobs import Job, Jobs, picklable, print_result

POLL_SECONDS = 5.0  # between two calls of squeue
RESULT_SECONDS = 60.0  # that a job's result may take to appear on a shared file system after it left the queue


def run_jobs(jobs: Jobs, options: dict[str, Any]) -> list[JobReturn]:
    """Submit the jobs of a sweep as one array, with options of hydra-submitit-launcher, and wait for them.

    Return the result of each, which holds an error where a job failed, was killed or cancelled.

    Raises:
        SRError: there is no Slurm, the plug-in is missing, or Slurm refused the jobs.
    """
    submitted = _submit(jobs, options)
    console = Console(stderr=True)
    ids = ", ".join(str(job.job_id) for job in submitted)
    console.print(f"Slurm jobs {ids}; follow them with sr runs {jobs.jobs[0].folder.parent} --watch", soft_wrap=True)
    results: dict[int, JobReturn] = {}
    last_queued = [time.monotonic()] * len(submitted)
    try:
        with job_progress(console) as progress:
            bar = progress.add_task("", total=len(submitted))
            while len(results) < len(submitted):
                states = _queue(str(submitted[0].job_id).split("_")[0])
                for i, (job, one) in enumerate(zip(jobs.jobs, submitted, strict=True)):
                    if i in results:
                        continue
                    if str(one.job_id) in states:
                        last_queued[i] = time.monotonic()
                    # The result file decides: a requeued job leaves the queue for a moment.
                    if one.paths.result_pickle.exists():
                        results[i] = _result(job, one)
                    elif time.monotonic() - last_queued[i] > RESULT_SECONDS:
                        why = f"Slurm job {one.job_id} was killed or cancelled; see {one.paths.stderr}"
                        results[i] = job.failed(why)
                    if i in results:
                        print_result(progress.console, job, results[i])
                running = sum(state == "RUNNING" for state in states.values())
                text = f"{len(submitted)} jobs, {running} running"
                progress.update(bar, completed=len(results), description=text)
                if len(results) < len(submitted):
                    time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        console.print(f"the jobs keep running; to end them: scancel {str(submitted[0].job_id).split('_')[0]}")
        raise
    return [results[i] for i in range(len(submitted))]


def _submit(jobs: Jobs, options: dict[str, Any]) -> Sequence[Any]:
    try:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
    except ImportError as error:
        raise SRError(f"hydra/launcher=slurm needs the slurm extra: {install_extra('slurm')}") from error

    # submitit pickles this launcher and calls it in the job, which also requeues it near the time limit.
    class PicklableLauncher(SlurmLauncher):
        def __call__(self, *arguments: Any) -> JobReturn:
            return picklable(super().__call__(*arguments))

    launcher = PicklableLauncher(**options)
    launcher.setup(hydra_context=jobs.hydra_context, task_function=jobs.task_function, config=jobs.config)
    params = dict(launcher.params)
    folder, retries = params.pop("submitit_folder"), params.pop("max_num_timeout")
    general = set(BaseQueueConf.__dataclass_fields__)
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=retries)
        # submitit has common parameters, and prefixes those of Slurm alone.
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
    """Return {job id: state} of the jobs of an array that are pending or running; `array` may be a single job too."""
    command = ["squeue", "--noheader", "--array", "--jobs", array, "--format", "%i %T"]
    lines = [line.split() for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2 and line[1] not in ("COMPLETED", "CANCELLED")}


def _result(job: Job, submitted: Any) -> JobReturn:
    try:
        return submitted.results()[0]
    except Exception as error:  # the job's own, or submitit's because there is no result
        lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
        return job.failed(f"{lines[-1].strip()[:200]}; see {Path(submitted.paths.stderr)}")
