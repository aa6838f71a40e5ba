"""The commands that repeat, continue, export and use a run."""

import re
import shlex

from sr_experiments.runs.reading import Run, max_steps
from sr_experiments.sweeps.summary import hydra_path


def next_commands(run: Run) -> dict[str, str]:
    """Return the commands that repeat a run, continue it, export its best checkpoint and upscale with it.

    The keys say what they do in a word or two; the commands are quoted for the shell.
    """
    quoted = shlex.quote(str(run.folder.absolute()))
    commands = {"repeat": f"python train.py --config-dir {quoted} --config-name config"}
    checkpoints = run.folder / "checkpoints"
    if (checkpoints / "last.ckpt").is_file():
        resume = f"python train.py {shlex.quote(f'resume={hydra_path(run.folder.absolute())}')}"
        configured = max_steps(run.config, {}) or 0  # config.yaml is not rewritten when a resume adds steps
        now = run.max_steps or configured
        if run.state.state == "finished":
            commands["train longer"] = f"{resume} {_steps(run, 2 * now - configured)}"
        elif run.state.state != "running":
            commands["continue"] = resume + (f" {_steps(run, now - configured)}" if now > configured else "")
    if (checkpoints / "best.ckpt").is_file():
        # A name that a shell and every file system take, and neither an option nor a hidden file.
        file = re.sub(r"[^\w.-]+", "_", str(run.config.get("name", "model"))).lstrip("-.") or "model"
        commands["export"] = f"sr export {quoted} -o {file}.safetensors"
        video = isinstance(run.config.get("stages"), list)
        names = "clip.mp4 -o clip_large.mp4" if video else "photo.png -o photo_large.png"
        commands["upscale"] = f"sr upscale {names} --checkpoint {quoted}"
    return commands


def _steps(run: Run, added: int) -> str:
    """Return the override that adds steps to those of config.yaml; of a run in stages, to the last stage."""
    stages, stage = run.config.get("stages"), run.config.get("stage")
    if isinstance(stages, list) and stages and isinstance(stage, dict):
        last = str(stages[-1])
        return f"++stage.{last}.steps={int((stage.get(last) or {}).get('steps', 0)) + added}"
    return f"trainer.max_steps={(max_steps(run.config, {}) or 0) + added}"
