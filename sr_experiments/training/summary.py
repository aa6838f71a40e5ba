"""The last lines of a run: its metrics beside bicubic's, its folder, the next commands."""

import os
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sr_experiments.terminal import make_table, print_labelled
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
        console.print(_metrics_table(validation, checkpoints))
        for key, metric in validation.metrics.items():
            console.print(f"  {key:<14}{metric.convention}", style="dim", markup=False, highlight=False, soft_wrap=True)
    for what, why in assembly.left_out.items():
        console.print(f"not measured or used: {what}: {why}", style="yellow", markup=False, soft_wrap=True)
    for what, why in assembly.substituted.items():
        console.print(f"{what}: {why}", style="yellow", markup=False, soft_wrap=True)
    command = "uv run train.py" if "UV" in os.environ else "python train.py"
    where = shlex.quote(str(folder))
    lines = [("run folder", str(folder))]
    if against_start is not None and checkpoints.best_step is not None:
        lines.append(("use", _which_checkpoint(folder, checkpoints, against_start, validation)))
    if state == "finished":
        if checkpoints.stopped and assembly.module.step < assembly.module.max_steps:
            console.print(checkpoints.stopped, markup=False, highlight=False, soft_wrap=True)
        lines.append(("look at", f"{folder}/samples"))
        if "stages" in config:
            last, srnet = config["stages"][-1], config["model"]["srnet"]
            longer = f"++stage.{last}.steps={2 * config['stage'][last]['steps']}"
            gan = "model=frvsr_rrdb" if srnet["name"] == "rrdbnet" else "model=frvsr"
            gan += "".join(f" model.srnet.{key}={value}" for key, value in srnet.items())
            gan += " loss=gan 'stages=[joint]'"
        else:
            longer = f"trainer.max_steps={2 * config['trainer']['max_steps']}"
            if checkpoints.stopped:
                longer = f"{longer} trainer.patience=null"
            name = config["model"]["name"]
            arch = f" arch={config['model']['arch']}" if name == "spandrel" else ""
            gan = f"model={name}{arch} loss=gan"
        lines.append(("train longer", f"{command} resume={where} {longer}"))
        if assembly.module.adversary is None:
            lines.append(("sharpen", f"{command} {gan} init_from={where}"))
    elif checkpoints.saved_step is not None or (folder / "checkpoints" / "last.ckpt").exists():
        lines.append(("resume", f"{command} resume={where}"))
    if wandb_sync:
        lines.append(("W&B", wandb_sync))
    console.print(f"{state} at step {assembly.module.step}", style="bold")
    print_labelled(console, lines)


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


def _metrics_table(validation: Validation, checkpoints: Checkpoints) -> Table:
    rows = []
    for name in validation.names:
        for metric, measured in validation.metrics.items():
            key, values, digits = f"val/{name}/{metric}", validation.values, measured.digits
            if key not in values:
                continue
            bicubic = values.get(f"{key}_bicubic")
            shown = [values.get(f"{key}_{other}") for other in validation.others]
            gain = "-" if bicubic is None else f"{values[key] - bicubic:+.{digits}f}"
            cells = [_number(value, digits) for value in (*shown, values[key])]
            rows.append([name, metric, *cells, gain, _number(checkpoints.best_values.get(key), digits)])
    columns = ["set", "metric", *validation.others, "sr", "gain", f"best @{checkpoints.best_step}"]
    return make_table(columns, rows, left=2, fold_all=False)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
