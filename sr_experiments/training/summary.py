"""The last lines of a run: its metrics beside bicubic's, its folder, the next commands."""

import os
import shlex
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sr_experiments.training.assemble import Assembly
from sr_experiments.training.callbacks.checkpoints import Checkpoints
from sr_experiments.training.validation import Validation


def print_summary(
    console: Console,
    state: str,
    folder: Path,
    config: dict[str, Any],
    assembly: Assembly,
    checkpoints: Checkpoints,
    wandb_sync: str | None,
) -> None:
    """Print the last lines of a run.

    Args:
        console: to print to.
        state: finished, pruned, interrupted or failed.
        folder: the run folder.
        config: the resolved configuration.
        assembly: module and data of the run.
        checkpoints: the callback that saved them.
        wandb_sync: command that uploads an offline W&B run, or None.
    """
    validation = assembly.module.validation
    if validation.values:
        console.print(_metrics_table(validation, checkpoints))
        for key, metric in validation.metrics.items():
            console.print(f"  {key:<14}{metric.convention}", style="dim", markup=False, highlight=False, soft_wrap=True)
    for what, why in assembly.left_out.items():
        console.print(f"not measured or used: {what}: {why}", style="yellow", markup=False, soft_wrap=True)
    command = "uv run train.py" if "UV" in os.environ else "python train.py"
    where = shlex.quote(str(folder))
    lines = [("run folder", str(folder))]
    if state == "finished":
        lines.append(("look at", f"{folder}/samples"))
        staged = "stages" in config
        key, steps = "trainer.max_steps", config["trainer"]["max_steps"]
        if staged:
            last = config["stages"][-1]
            key, steps = f"++stage.{last}.steps", config["stage"][last]["steps"]
        lines.append(("train longer", f"{command} resume={where} {key}={2 * steps}"))
        if assembly.module.adversary is None and staged:
            srnet = config["model"]["srnet"]
            model = "model=frvsr_rrdb" if srnet["name"] == "rrdbnet" else "model=frvsr"
            model += "".join(f" model.srnet.{key}={value}" for key, value in srnet.items())
            lines.append(("sharpen", f"{command} {model} loss=gan 'stages=[joint]' init_from={where}"))
        elif assembly.module.adversary is None:
            name = config["model"]["name"]
            arch = f" arch={config['model']['arch']}" if name == "spandrel" else ""
            lines.append(("sharpen", f"{command} model={name}{arch} loss=gan init_from={where}"))
    elif checkpoints.saved_step is not None or (folder / "checkpoints" / "last.ckpt").exists():
        lines.append(("resume", f"{command} resume={where}"))
    if wandb_sync:
        lines.append(("W&B", wandb_sync))
    console.print(f"{state} at step {assembly.module.step}", style="bold")
    for label, text in lines:
        console.print(f"  {label:<13}{text}", soft_wrap=True, markup=False, highlight=False)


def _metrics_table(validation: Validation, checkpoints: Checkpoints) -> Table:
    values = validation.values
    others = ["bicubic", *(["compared"] if validation.compared is not None else [])]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("set", "metric", *others, "sr", "gain", f"best @{checkpoints.best_step}"):
        table.add_column(column, justify="left" if column in ("set", "metric") else "right", no_wrap=True)
    for name in validation.names:
        for metric, measured in validation.metrics.items():
            key, digits = f"val/{name}/{metric}", measured.digits
            if key not in values:
                continue
            bicubic = values.get(f"{key}_bicubic")
            shown = [values.get(f"{key}_{other}") for other in others]
            gain = "-" if bicubic is None else f"{values[key] - bicubic:+.{digits}f}"
            cells = [_number(value, digits) for value in (*shown, values[key])]
            table.add_row(name, metric, *cells, gain, _number(checkpoints.best_values.get(key), digits))
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
