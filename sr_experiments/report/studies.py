"""Optuna studies of the compared runs: the best trials, and the importance of each setting."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sr_experiments.errors import SRError
from sr_experiments.runs.reading import Run
from sr_experiments.sweeps.optuna.results import STATES, best_trials
from sr_experiments.sweeps.optuna.study import JOURNAL, load_study, objectives_of

if TYPE_CHECKING:
    import optuna

ENOUGH = 10  # finished trials that importances need


@dataclass(frozen=True)
class Trial:
    """A trial that has a value."""

    number: int  # its number in the study
    run: int | None  # index of its run; None if its run is not compared
    state: str  # finished or pruned
    values: list[float]  # value of each objective; of a pruned trial the last reported ones


@dataclass(frozen=True)
class Importance:
    """The importance of each setting for an objective."""

    objective: str  # name of the objective
    shares: dict[str, float]  # importance by setting, the largest first; they add up to 1
    how: str  # how they were computed, in words


@dataclass(frozen=True)
class Study:
    """A sweep of `hydra/sweeper=optuna`."""

    folder: str  # the sweep folder
    objectives: list[str]  # names of the objectives
    higher: list[bool]  # for each objective, whether higher is better
    ended: str  # count of trials by state, such as "8 finished, 2 pruned"
    trials: list[Trial]  # the trials with values
    best: list[int]  # numbers of the best trials; with several objectives the Pareto front
    importances: list[Importance]  # one for each objective, where they can be computed
    note: str  # why they can't be computed, or empty

    def lines(self) -> list[str]:
        """Return the lines for the terminal."""
        lines = [f"study {self.folder}: {self.ended}"] if self.ended else []
        if self.best:
            label = "Pareto front" if len(self.objectives) > 1 else f"best {self.objectives[0]}"
            lines.append(f"  {label}: {'trial' if len(self.best) == 1 else 'trials'} {', '.join(map(str, self.best))}")
        for one in self.importances:
            shares = ", ".join(f"{key} {share:.0%}" for key, share in one.shares.items())
            lines += [f"  importance for {one.objective}: {shares}", f"    {one.how}"]
        return lines + ([f"  {self.note}"] if self.note else [])


def studies_of(runs: Sequence[Run]) -> list[Study]:
    """Return the studies that have some of these runs as trials."""
    # The journal is in the sweep folder, some levels above the run: hydra.sweep.subdir may have several.
    places = dict.fromkeys(
        place for run in runs for place in run.folder.absolute().parents[:3] if (place / JOURNAL).is_file()
    )
    return [_read(place, runs) for place in places]


def _read(folder: Path, runs: Sequence[Run]) -> Study:
    try:
        study = load_study(folder)
        objectives = objectives_of(study)
    except (SRError, KeyError) as error:
        return Study(str(folder), [], [], "", [], [], [], f"which settings mattered is not known: {error}")
    numbers = {run.folder.resolve(): number for number, run in enumerate(runs)}
    trials = []
    for trial in study.get_trials(deepcopy=False):
        # NaN and infinity can't be plotted, and JSON has neither.
        if trial.values and all(map(math.isfinite, trial.values)):
            run = numbers.get((folder / trial.user_attrs.get("folder", "")).resolve())
            trials.append(Trial(trial.number, run, STATES[trial.state.name], list(trial.values)))
    counts = Counter(STATES[trial.state.name] for trial in study.get_trials(deepcopy=False))
    note, importances = "", []
    if (finished := counts["finished"]) >= ENOUGH:
        importances = [_importance(study, i, one.name, one.higher) for i, one in enumerate(objectives)]
    else:
        note = f"which settings mattered is not known: {finished} finished trials are too few, {ENOUGH} the least"
    return Study(
        str(folder),
        [one.name for one in objectives],
        [one.higher for one in objectives],
        ", ".join(f"{counts[state]} {state}" for state in STATES.values() if counts[state]),
        trials,
        [trial.number for trial in best_trials(study)],
        importances,
        note,
    )


def _importance(study: "optuna.Study", index: int, objective: str, higher: bool) -> Importance:
    """Compute importances by PED-ANOVA (Watanabe et al. 2023), which needs no package besides Optuna."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    finished = sum(trial.state.name == "COMPLETE" for trial in study.get_trials(deepcopy=False))
    top = max(5, math.ceil(finished / 10))  # at least five, as PED-ANOVA's authors advise
    sign = -1 if higher else 1  # the evaluator takes the smallest targets for the best
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = get_param_importances(
            study,
            # Half a trial less than `top`, so that rounding can't count one more among the best.
            evaluator=PedAnovaImportanceEvaluator(target_quantile=(top - 0.5) / finished),
            target=lambda trial: sign * trial.values[index],
            normalize=False,
        )
    total = sum(raw.values())
    how = (
        f"PED-ANOVA over {finished} finished trials: by how much the values of a setting in the best {top} differ "
        "from those in all; the shares add up to 1, and with few trials they are rough"
    )
    if not total > 0:
        return Importance(objective, {}, how)
    shares = {key.lstrip("+~"): value / total for key, value in raw.items()}
    return Importance(objective, dict(sorted(shares.items(), key=lambda item: -item[1])), how)
