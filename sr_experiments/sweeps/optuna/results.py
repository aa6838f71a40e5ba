"""Results of a study: a line per trial, the table at the end, and optuna.json for other programs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sr_experiments.config.quoting import command_line, hydra_text, shell_path
from sr_experiments.display.terminal import make_table, print_conventions, print_labelled
from sr_experiments.files.writing import write_json
from sr_experiments.runs.state import read_summary
from sr_experiments.sweeps.optuna.objective import Objective

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FILE = "optuna.json"
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "interrupted"}
SHOWN = 5  # best trials in the table


def print_trial(console: Console, study: "optuna.Study", number: int, objectives: Sequence[Objective]) -> None:
    """Print the state and values of a trial, and the best trial so far."""
    trials = study.get_trials(deepcopy=False)
    trial = trials[number]
    text = f"trial {number} {STATES[trial.state.name]}"
    if trial.values:
        text += "  " + "  ".join(f"{o.name} {v:.5g}" for o, v in zip(objectives, trial.values, strict=True))
    elif "error" in trial.user_attrs:
        text += f": {trial.user_attrs['error']}"
    best = best_trials(study)
    if len(objectives) == 1 and best and best[0].values:
        text += f"  (best {best[0].values[0]:.5g}, trial {best[0].number})"
    console.print(text, style="bold", markup=False, highlight=False, soft_wrap=True)


def best_trials(study: "optuna.Study", most: int = 1) -> "list[FrozenTrial]":
    """Return the best finished trials, at most `most`, the best first; with several objectives the Pareto front."""
    if len(study.directions) > 1:
        return sorted(study.best_trials, key=lambda trial: trial.values)
    finished = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    return sorted(finished, key=lambda trial: sign * trial.values[0])[:most]


def print_results(
    console: Console,
    study: "optuna.Study",
    folder: Path,
    objectives: Sequence[Objective],
    arguments: Sequence[str],
    stopped: bool,
) -> None:
    """Print the best trials, the count of trials by state, and the commands to type next.

    `arguments` are those of the command line, which continue the sweep; `stopped` tells if it was interrupted.
    """
    trials = study.get_trials(deepcopy=False)
    best = best_trials(study, SHOWN)
    if best:
        console.print(_table(best, objectives))
        if len(objectives) > 1:
            console.print("Pareto front: no trial is better than one of these in every objective")
        summaries = [read_summary(folder / trial.user_attrs.get("folder", "")) for trial in best]
        print_conventions(console, {k: v for one in summaries for k, v in (one.get("conventions") or {}).items()})
    # One line for all trials that failed for the same reason.
    failed: dict[str, list[str]] = {}
    for trial in trials:
        if trial.state.name == "FAIL":
            failed.setdefault(trial.user_attrs.get("error", ""), []).append(str(trial.number))
    for error, numbers in failed.items():
        which = f"trial{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        console.print(f"{which} failed: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    counts = Counter(STATES[trial.state.name] for trial in trials)
    ended = ", ".join(f"{counts[state]} {state}" for state in STATES.values() if counts[state])
    lines = [("trials", ended or "none"), ("sweep", str(folder))]
    same = ["-m", *arguments, f"hydra.sweep.dir={hydra_text(folder)}"]
    if stopped or counts["interrupted"]:
        lines.append(("continue", command_line(same)))
    else:
        more = [one for one in same if not one.startswith("hydra.sweeper.n_trials=")]
        lines.append(("more trials", command_line([*more, f"hydra.sweeper.n_trials={2 * len(trials)}"])))
    if best:
        lines.append(("compare", f"sr compare {shell_path(folder)} -o report.html"))
    print_labelled(console, lines)


def write_study_json(
    study: "optuna.Study",
    folder: Path,
    objectives: Sequence[Objective],
    options: dict[str, Any],
    arguments: Sequence[str],
) -> None:
    """Write `optuna.json`: the search space, every trial, and the numbers of the best ones."""
    trials = [
        {
            "number": trial.number,
            "state": STATES[trial.state.name],
            "values": trial.values,
            "params": trial.params,
            **{key: trial.user_attrs[key] for key in ("folder", "error") if key in trial.user_attrs},
            "reported": {str(step): value for step, value in trial.intermediate_values.items()},
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    content = {
        "objectives": [{"name": o.name, "direction": o.direction} for o in objectives],
        "options": options,
        "arguments": list(arguments),
        "space": study.user_attrs["space"],
        "best": [trial.number for trial in best_trials(study)],
        "trials": trials,
    }
    write_json(folder / FILE, content)


def _table(trials: "Sequence[FrozenTrial]", objectives: Sequence[Objective]) -> Table:
    params = list(dict.fromkeys(key for trial in trials for key in trial.params))
    columns = ["trial", "folder", *(o.name for o in objectives), *params]
    rows = []
    for trial in trials:
        values = [f"{value:.5g}" if value < 1e5 else f"{value:,.0f}" for value in trial.values]
        given = [f"{v:.4g}" if isinstance(v, float) else escape(str(v)) for v in map(trial.params.get, params)]
        rows.append((str(trial.number), escape(str(trial.user_attrs.get("folder", ""))), *values, *given))
    return make_table([escape(column) for column in columns], rows, left=2)
