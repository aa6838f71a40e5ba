"""The last lines of a run: its metrics beside the baseline's, its folder, the next commands."""

from pathlib import Path
from typing import Any

from rich.console import Console

from sr_experiments.config.quoting import override, train_command
from sr_experiments.config.resolve import is_sweep
from sr_experiments.display.terminal import gain_text, print_conventions, print_labelled, print_table
from sr_experiments.runs.metrics import gain
from sr_experiments.runs.next_steps import longer, sharpen
from sr_experiments.training.assemble import Assembly
from sr_experiments.training.callbacks.against_start import AgainstStart, in_words
from sr_experiments.training.callbacks.checkpoints import Checkpoints
from sr_experiments.training.validation import Validation


def print_summary(
    console: Console,
    state: str,
    folder: Path,
    config: dict[str, Any],
    assembly: Assembly,
    checkpoints: Checkpoints,
    against_start: AgainstStart | None,
    wandb_sync: str | None,
) -> None:
    """Print the last lines of a run that is finished, pruned, interrupted or failed.

    `wandb_sync` is the command that uploads an offline W&B run.
    """
    validation = assembly.module.validation
    if validation.values:
        _print_metrics(console, validation, checkpoints)
        if not is_sweep():  # a sweep prints them once, at its end
            print_conventions(console, {key: metric.convention for key, metric in validation.metrics.items()})
    for what, why in assembly.left_out.items():
        console.print(f"not measured or used: {what}: {why}", style="yellow", markup=False, soft_wrap=True)
    for what, why in assembly.substituted.items():
        console.print(f"{what}: {why}", style="yellow", markup=False, soft_wrap=True)
    resume = override("resume", folder)
    lines = [("run folder", str(folder))]
    if against_start is not None and checkpoints.best_step is not None:
        lines.append(("use", _which_checkpoint(folder, checkpoints, against_start, validation)))
    if state == "finished":
        if checkpoints.stopped and assembly.module.step < assembly.module.max_steps:
            console.print(checkpoints.stopped, markup=False, highlight=False, soft_wrap=True)
        lines.append(("look at", f"{folder}/samples"))
        if more := longer(config, _twice(config)):
            patient = ["trainer.patience=null"] if checkpoints.stopped else []
            lines.append(("train longer", train_command([resume, more, *patient])))
        if assembly.module.adversary is None and (words := sharpen(config, folder)):
            lines.append(("sharpen", train_command(words)))
    elif checkpoints.saved_step is not None or (folder / "checkpoints" / "last.ckpt").exists():
        lines.append(("resume", train_command([resume])))
    if wandb_sync:
        lines.append(("W&B", wandb_sync))
    console.print(f"{state} at step {assembly.module.step}", style="bold")
    print_labelled(console, lines)


def _twice(config: dict[str, Any]) -> int:
    """Return twice the steps of a run, or of the last stage beside the others as they are."""
    steps = int(config["trainer"]["max_steps"])
    return steps + int(config["stage"][config["stages"][-1]]["steps"]) if "stages" in config else 2 * steps


def _which_checkpoint(
    folder: Path, checkpoints: Checkpoints, against_start: AgainstStart, validation: Validation
) -> str:
    """Say which checkpoint to use, the start included, and how it compares with the start."""
    metric = checkpoints.monitor.removeprefix("val/")
    if checkpoints.best_step == 0:
        return f"the start: no validation had a better {metric}, and best.ckpt is the start"
    compared = against_start.found.get(checkpoints.best_step or 0, {})
    said = "; ".join(in_words(key, value, validation) for key, value in compared.items())
    return f"{folder}/checkpoints/best.ckpt, of step {checkpoints.best_step}; against the start: {said}"


def _print_metrics(console: Console, validation: Validation, checkpoints: Checkpoints) -> None:
    rows = []
    for name in validation.names:
        for metric, measured in validation.metrics.items():
            key, values, digits = f"val/{name}/{metric}", validation.values, measured.digits
            if key not in values:
                continue
            baseline = values.get(f"{key}_{validation.baseline}")
            shown = [values.get(f"{key}_{other}") for other in validation.others]
            better = "-"
            if baseline is not None:
                better = gain_text(gain(values[key], baseline, measured.higher_is_better), digits)
            cells = [_number(value, digits) for value in (*shown, values[key])]
            rows.append([name, metric, *cells, better, _number(checkpoints.best_values.get(key), digits)])
    best = "best" if checkpoints.best_step is None else f"best @{checkpoints.best_step}"
    print_table(console, ["set", "metric", *validation.others, "sr", "gain", best], rows, left=2, repeated=2)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
