"""What to type to repeat, continue and use a run."""

import re
import shlex
from dataclasses import dataclass

from sr_experiments.runs.reading import Run, max_steps

PLAIN = re.compile(r"[\w./:+\-]+")  # what Hydra takes as it is


@dataclass(frozen=True)
class Command:
    """A line for the shell.

    Attributes:
        label: what it does.
        line: to type.
    """

    label: str
    line: str


def next_commands(run: Run) -> list[Command]:
    """Lines that repeat a run, go on with it, export its best checkpoint and upscale with it."""
    folder = str(run.folder.absolute())
    quoted = shlex.quote(folder)
    commands = [Command("repeat", f"python train.py --config-dir {quoted} --config-name config")]
    checkpoints = run.folder / "checkpoints"
    if (checkpoints / "last.ckpt").is_file():
        go_on = f"python train.py {_override('resume', folder)}"
        began_with = max_steps(run.config, {}) or 0  # config.yaml stays as it was when the run is lengthened
        now = run.max_steps or began_with
        if run.state.state == "finished":
            commands.append(Command("train longer", f"{go_on} {_steps(run, 2 * now - began_with)}"))
        elif run.state.state != "running":
            more = f" {_steps(run, now - began_with)}" if now > began_with else ""
            commands.append(Command("continue", go_on + more))
    if (checkpoints / "best.ckpt").is_file():
        file = re.sub(r"[^\w.-]+", "_", str(run.config.get("name", "model"))).lstrip("-.") or "model"
        commands.append(Command("export", f"sr export {quoted} -o {file}.safetensors"))
        video = isinstance(run.config.get("stages"), list)
        names = ("clip.mp4", "clip_large.mp4") if video else ("photo.png", "photo_large.png")
        commands.append(Command("upscale", f"sr upscale {names[0]} -o {names[1]} --checkpoint {quoted}"))
    return commands


def _steps(run: Run, added: int) -> str:
    """The override that adds steps to those of config.yaml; of a run in stages, to the last one."""
    stages, stage = run.config.get("stages"), run.config.get("stage")
    if isinstance(stages, list) and stages and isinstance(stage, dict):
        last = str(stages[-1])
        return f"++stage.{last}.steps={int((stage.get(last) or {}).get('steps', 0)) + added}"
    return f"trainer.max_steps={(max_steps(run.config, {}) or 0) + added}"


def _override(key: str, value: str) -> str:
    """`key=value` for Hydra, inside quotes for the shell."""
    if not PLAIN.fullmatch(value):
        value = "'" + value.replace("'", "\\'") + "'"
    return shlex.quote(f"{key}={value}")
