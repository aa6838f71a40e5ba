"""`hydra/sweeper=optuna`: ask Optuna for values, launch jobs with them, tell Optuna their results.

The study is in the sweep folder. A sweep that is restarted with the same `hydra.sweep.dir` continues it: finished
trials are kept, and interrupted ones resume in their folders.
"""

import math
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from annotated_types import Ge
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from sr_experiments.config.explain import problem
from sr_experiments.config.resolve import training_steps
from sr_experiments.config.secrets import refuse_secrets
from sr_experiments.display.terminal import stderr_console
from sr_experiments.errors import SRError
from sr_experiments.files.writing import writing_failed
from sr_experiments.registry import Group
from sr_experiments.runs.lock import run_lock
from sr_experiments.runs.state import read_summary
from sr_experiments.sweeps.jobs import Job, Jobs, announced, error_line, one_by_one
from sr_experiments.sweeps.optuna.objective import Objective, resolve_objectives
from sr_experiments.sweeps.optuna.results import print_results, print_trial, write_study_json
from sr_experiments.sweeps.optuna.space import as_override, example_overrides, search_space
from sr_experiments.sweeps.optuna.study import make_sampler, open_study, require_optuna, trial_id

if TYPE_CHECKING:
    import optuna

MAY_CHANGE = ("logger", "callbacks")  # settings that do not change the results of trials


class Options(Group):
    """The options of conf/hydra/sweeper/optuna.yaml, which explains them."""

    n_trials: Annotated[int, Ge(1)]
    n_jobs: Annotated[int, Ge(1)]
    objective: str | list[str]
    value: Literal["best", "final"]
    sampler: Literal["tpe", "gp", "random"]
    startup_trials: Annotated[int, Ge(1)]
    seed: Annotated[int, Ge(0)]
    pruner: Literal["none", "median", "hyperband"]
    pruner_startup_trials: Annotated[int, Ge(0)]
    pruner_warmup_steps: Annotated[int, Ge(0)]
    params: dict[str, Any] | None


def read_options(given: dict[str, Any]) -> Options:
    """Read the options that Hydra passes to the plug-in; an SRError for an unknown option or an invalid value."""
    plain: dict[str, Any] = {k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in given.items()}
    try:
        return Options.model_validate(plain)
    except ValidationError as error:
        raise SRError(problem(error, Options, plain, {}).line("hydra.sweeper")) from None


class OptunaSweep:
    """A study and the jobs that are its trials; a trial has the number of its job.

    `options` are those of the sweeper, `arguments` those of the command line, without Hydra's own.

    Raises:
        SRError: Optuna is missing, a setting holds a secret, an invalid option or objective, nothing to search, or
            values that no run can have.
    """

    def __init__(
        self,
        context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
        launcher: Launcher,
        options: dict[str, Any],
        arguments: Sequence[str],
    ) -> None:
        require_optuna()
        refuse_secrets(OmegaConf.to_container(config, resolve=False))
        self.context, self.task_function, self.config, self.launcher = context, task_function, config, launcher
        self.options, self.arguments, self.console = read_options(options), arguments, stderr_console()
        self.folder = Path(config.hydra.sweep.dir).absolute()
        self.interrupted: set[int] = set()
        given = [*(f"{key}={value}" for key, value in (self.options.params or {}).items()), *arguments]
        parser = OverridesParser.create(config_loader=context.config_loader)
        try:
            self.space, self.fixed = search_space(parser.parse_overrides(given))
        except HydraException as error:
            raise SRError(" ".join(str(error).split())) from error
        # A choice that can't be composed is refused now, and not when its trial comes up hours later.
        composed = [self._job(overrides, 0).config for overrides in example_overrides(self.space)]
        example = OmegaConf.create({key: value for key, value in composed[0].items() if key != "hydra"})
        first = cast(dict[str, Any], OmegaConf.to_container(example, resolve=True))
        self.objectives = resolve_objectives(self.options.objective, first)
        validated = [objective.name for objective in self.objectives if objective.validated]
        # best.ckpt has the value of a trial, so the objective must be what chooses it.
        if validated and not any(override.startswith("trainer.monitor=") for override in self.fixed):
            self.fixed.append(f"trainer.monitor={validated[0]}")
        o = self.options
        if o.pruner != "none" and (len(self.objectives) > 1 or not validated):
            raise SRError(f"hydra.sweeper.pruner={o.pruner} needs one objective, a metric of validation")
        self.pruner = {
            "name": o.pruner,
            "startup_trials": o.pruner_startup_trials,
            "warmup_steps": o.pruner_warmup_steps,
            "first_step": first["trainer"]["val_every"],
            "max_steps": training_steps(first),
        }

    def run(self) -> None:
        """Run or continue the study and print its results; exit with 1 if no trial finished.

        Raises:
            SRError: the folder can't be written, or another process uses it; or it holds another study.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise writing_failed(self.folder, error, "hydra.sweep.dir=") or error from error
        if self.options.n_jobs == 1 and not one_by_one(self.config):
            self.console.print("one trial at a time: hydra.sweeper.n_jobs=4 gives the launcher four", style="yellow")
        stopped: BaseException | None = None
        with run_lock(self.folder, "searched"):
            self.study = self._open()
            # Hydra's name for it; it also marks the folder as a sweep for the jobs' W&B group.
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
            try:
                while batch := self._next():
                    self._run(batch)
                    self._write()
            except (KeyboardInterrupt, SystemExit) as stop:
                stopped = stop
            self._write()
        print_results(self.console, self.study, self.folder, self.objectives, self._command(), bool(stopped))
        if isinstance(stopped, KeyboardInterrupt):  # before a run could take Ctrl-C: no traceback is of use
            sys.exit(128 + signal.SIGINT)
        if stopped is not None:
            raise stopped
        if not any(trial.state.name == "COMPLETE" for trial in self.study.get_trials(deepcopy=False)):
            sys.exit(1)

    def _open(self) -> "optuna.Study":
        """Open the study; errors as of `open_study`."""
        settings = [o for o in self.fixed if o.lstrip("+~").split("=")[0].split(".")[0] not in MAY_CHANGE]
        attributes = {
            "objectives": [asdict(objective) for objective in self.objectives],
            "value": self.options.value,
            "space": {key: str(distribution) for key, distribution in self.space.items()},
            "settings": sorted(settings),
            "pruner": self.pruner,
        }
        return open_study(self.folder, [objective.direction for objective in self.objectives], attributes)

    def _next(self) -> list[int]:
        """Return the numbers of the next trials: first those interrupted in an earlier session, then new ones.

        They are consecutive, since a launcher numbers the jobs of one launch consecutively.
        """
        trials = self.study.get_trials(deepcopy=False)
        unfinished = [t.number for t in trials if not t.state.is_finished() and t.number not in self.interrupted]
        if unfinished:
            consecutive = takewhile(lambda pair: pair[1] == unfinished[0] + pair[0], enumerate(unfinished))
            return [number for _, number in consecutive][: self.options.n_jobs]
        o, proposed = self.options, []
        for number in range(len(trials), min(len(trials) + o.n_jobs, o.n_trials)):
            self.study.sampler = make_sampler(o.sampler, o.startup_trials, o.seed, number)
            proposed.append(self.study.ask(self.space).number)
        return proposed

    def _run(self, numbers: Sequence[int]) -> None:
        """Launch trials, and tell Optuna their results."""
        jobs: dict[int, Job] = {}
        for number in numbers:
            params = self.study.get_trials(deepcopy=False)[number].params
            if params.keys() != self.space.keys():  # the sweep was killed while Optuna proposed its values
                self._tell_failed(number, "it was never started")
                continue
            try:
                job = self._job([as_override(key, value) for key, value in params.items()], number)
            except SRError as error:  # a combination that can't be composed
                self._tell_failed(number, str(error))
                continue
            self._set_attribute(number, "folder", str(job.folder.relative_to(self.folder)))
            if read_summary(job.folder).get("state") == "pruned":  # the sweep was killed before it could tell Optuna
                self._tell(job, None)
            else:
                jobs[number] = job
        while jobs:
            number = min(jobs)
            consecutive = []
            while number in jobs:
                consecutive.append(jobs.pop(number))
                number += 1
            results = self._launch(consecutive)
            for job, result in zip(consecutive, results, strict=True):
                self._tell(job, result)

    def _launch(self, jobs: Sequence[Job]) -> Sequence[JobReturn]:
        """Run the jobs of trials with consecutive numbers."""
        if not one_by_one(self.config):
            return self.launcher.launch([[*job.overrides] for job in jobs], initial_job_idx=jobs[0].number)
        results: list[JobReturn] = []
        for job in jobs:
            proposed = [override for override in job.overrides if override not in self.fixed]
            name = f"trial {job.number}, job"  # trials count from 0
            with announced(self.console, job.number + 1, self.options.n_trials, proposed, name):
                results += self.launcher.launch([[*job.overrides]], initial_job_idx=job.number)
        return results

    def _tell(self, job: Job, result: JobReturn | None) -> None:
        """Tell Optuna the result of a trial; an interrupted one stays open, to be resumed by the next session."""
        import optuna

        summary = read_summary(job.folder)
        state = summary.get("state")
        if result is not None and result.status != JobStatus.COMPLETED:
            if state == "interrupted":
                self.interrupted.add(job.number)
            else:
                self._tell_failed(job.number, error_line(result) or "its job did not end")
            return
        if state == "pruned":
            self.study.tell(job.number, state=optuna.trial.TrialState.PRUNED)
        else:
            values = [self._value(objective, job, summary) for objective in self.objectives]
            # NaN or infinity is a failure, and no value to learn from.
            if not all(map(math.isfinite, values)):
                return self._tell_failed(job.number, f"it reached {', '.join(map(str, values))}")
            self.study.tell(job.number, values)
        print_trial(self.console, self.study, job.number, self.objectives)

    def _value(self, objective: Objective, job: Job, summary: dict[str, Any]) -> float:
        value = objective.value(summary, self.options.value)
        if value is None:
            left_out = [f"{what}: {why}" for what, why in (summary.get("left_out") or {}).items()]
            raise SRError(f"{job.folder} did not measure {objective.name}: {'; '.join(left_out) or 'choose another'}")
        return value

    def _tell_failed(self, number: int, error: str) -> None:
        import optuna

        self._set_attribute(number, "error", error)
        self.study.tell(number, state=optuna.trial.TrialState.FAIL)
        print_trial(self.console, self.study, number, self.objectives)

    def _set_attribute(self, number: int, key: str, value: str) -> None:
        # Through the storage: Optuna has no public way to change a trial of another session.
        self.study._storage.set_trial_user_attr(trial_id(self.study, number), key, value)

    def _job(self, values: Sequence[str], number: int) -> Job:
        """Return the job of a trial, as the launcher will compose it; an SRError if it can't be composed."""
        try:
            overrides = [[*self.fixed, *values]]
            return Jobs(self.context, self.task_function, self.config, overrides, number).jobs[0]
        except (HydraException, OmegaConfBaseException) as error:
            raise SRError(" ".join(str(error).split())) from error

    def _write(self) -> None:
        write_study_json(self.study, self.folder, self.objectives, self.options.model_dump(), self._command())

    def _command(self) -> list[str]:
        """Return the arguments of the command line, without the sweep folder."""
        of_hydra = [str(override) for override in self.config.hydra.overrides.hydra]
        left_out = ("hydra.mode=", "hydra.sweep.dir=")
        return [*(override for override in of_hydra if not override.startswith(left_out)), *self.arguments]
