"""The last lines of a run: metrics beside bicubic's, where everything is, what to type next."""

import os
import shlex
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sr_experiments.training.assemble import Assembly
from sr_experiments.training.callbacks.checkpoints import Checkpoints


def print_outcome(
    console: Console,
    state: str,
    folder: Path,
    config: dict[str, Any],
    assembly: Assembly,
    checkpoints: Checkpoints,
    wandb_sync: str | None,
) -> None:
    """Print them to `console`.

    Args:
        console: where to.
        state: finished, pruned, interrupted or failed.
        folder: the run folder.
        config: the resolved configuration.
        assembly: what was trained.
        checkpoints: knows what was saved.
        wandb_sync: command that uploads an offline W&B run, if there is one.
    """
    if assembly.module.validation.values:
        console.print(_metrics_table(assembly, checkpoints))
        for metric, convention in assembly.module.validation.conventions().items():
            console.print(f"  {metric:<14}{convention}", style="dim", markup=False, highlight=False, soft_wrap=True)
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
        if config["loss"]["name"] == "pixel" and staged:
            srnet = config["model"]["srnet"]
            model = "model=frvsr_rrdb" if srnet["name"] == "rrdbnet" else "model=frvsr"
            model += "".join(f" model.srnet.{key}={value}" for key, value in srnet.items())
            lines.append(("sharpen", f"{command} {model} loss=gan 'stages=[joint]' init_from={where}"))
        elif config["loss"]["name"] == "pixel":
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


def _metrics_table(assembly: Assembly, checkpoints: Checkpoints) -> Table:
    module = assembly.module
    conventions = module.validation.conventions()
    values = module.validation.values
    compared = ["compared"] if module.validation.compared is not None else []
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("set", "metric", "bicubic", *compared, "sr", "gain", f"best @{checkpoints.best_step}"):
        table.add_column(column, justify="left" if column in ("set", "metric") else "right", no_wrap=True)
    for name in module.validation.names:
        for metric in [m for m in conventions if f"val/{name}/{m}" in values]:
            key = f"val/{name}/{metric}"
            ours, bicubic = values[key], values.get(f"{key}_bicubic")
            gain = None if bicubic is None else ours - bicubic
            digits = 2 if "psnr" in metric else 4
            best = checkpoints.best_values.get(key)
            others = [values.get(f"{key}_{other}") for other in ("bicubic", *compared)]
            plain = ["-" if v is None else f"{v:.{digits}f}" for v in (*others, ours)]
            table.add_row(
                name,
                metric,
                *plain,
                "-" if gain is None else f"{gain:+.{digits}f}",
                "-" if best is None else f"{best:.{digits}f}",
            )
    return table
