"""The commands that repeat, continue, export and use a run."""

import re
import shlex
from dataclasses import dataclass

from sr_experiments.runs.reading import Run, max_steps

PLAIN = re.compile(r"[\w./:+\-]+")  # values that Hydra takes without quotes


@dataclass(frozen=True)
class Command:
    """A command line to type."""

    label: str  # what it does, in a word or two
    line: str  # the command line, quoted for the shell


def next_commands(run: Run) -> list[Command]:
    """Return the commands that repeat a run, continue it, export its best checkpoint and upscale with it."""
    folder = str(run.folder.absolute())
    quoted = shlex.quote(folder)
    commands = [Command("repeat", f"python train.py --config-dir {quoted} --config-name config")]
    checkpoints = run.folder / "checkpoints"
    if (checkpoints / "last.ckpt").is_file():
        resume = f"python train.py {_override('resume', folder)}"
        configured = max_steps(run.config, {}) or 0  # config.yaml is not rewritten when a resume adds steps
        now = run.max_steps or configured
        if run.state.state == "finished":
            commands.append(Command("train longer", f"{resume} {_steps(run, 2 * now - configured)}"))
        elif run.state.state != "running":
            more = f" {_steps(run, now - configured)}" if now > configured else ""
            commands.append(Command("continue", resume + more))
    if (checkpoints / "best.ckpt").is_file():
        # A name that a shell and every file system take, and neither an option nor a hidden file.
        file = re.sub(r"[^\w.-]+", "_", str(run.config.get("name", "model"))).lstrip("-.") or "model"
        commands.append(Command("export", f"sr export {quoted} -o {file}.safetensors"))
        video = isinstance(run.config.get("stages"), list)
        names = ("clip.mp4", "clip_large.mp4") if video else ("photo.png", "photo_large.png")
        commands.append(Command("upscale", f"sr upscale {names[0]} -o {names[1]} --checkpoint {quoted}"))
    return commands


def _steps(run: Run, added: int) -> str:
    """Return the override that adds steps to those of config.yaml; of a run in stages, to the last stage."""
    stages, stage = run.config.get("stages"), run.config.get("stage")
    if isinstance(stages, list) and stages and isinstance(stage, dict):
        last = str(stages[-1])
        return f"++stage.{last}.steps={int((stage.get(last) or {}).get('steps', 0)) + added}"
    return f"trainer.max_steps={(max_steps(run.config, {}) or 0) + added}"


def _override(key: str, value: str) -> str:
    """Return `key=value`, quoted for Hydra and then for the shell."""
    if not PLAIN.fullmatch(value):
        value = "'" + value.replace("'", "\\'") + "'"
    return shlex.quote(f"{key}={value}")
