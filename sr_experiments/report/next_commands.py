"""The commands that repeat, continue, export and use a run."""

import re

from sr_experiments.config.quoting import from_config, override, shell_path, sr_command, train_command
from sr_experiments.runs.next_steps import longer
from sr_experiments.runs.reading import Run, max_steps


def next_commands(run: Run) -> dict[str, str]:
    """Return the commands that repeat a run, continue it, export its best checkpoint and upscale with it.

    The keys say what they do in a word or two; the commands are quoted for the shell.
    """
    folder = run.folder.absolute()
    quoted = shell_path(folder)
    # No single command repeats a run whose settings changed on the way.
    commands = {"train anew" if run.changes else "repeat": train_command(from_config(folder))}
    checkpoints = run.folder / "checkpoints"
    if (checkpoints / "last.ckpt").is_file():
        resume = override("resume", folder)
        configured = max_steps(run.config, {}) or 0  # less than `now` where an early version added steps on resume
        now = run.max_steps or configured
        if run.state.state == "finished":
            if more := _longer(run, 2 * now):
                commands["train longer"] = train_command([resume, more])
        elif run.state.state != "running":
            more = _longer(run, now) if now > configured else None
            commands["continue"] = train_command([resume, *([more] if more else [])])
    if (checkpoints / "best.ckpt").is_file():
        # A name that a shell and every file system take, and neither an option nor a hidden file.
        file = re.sub(r"[^\w.-]+", "_", str(run.config.get("name", "model"))).lstrip("-.") or "model"
        commands["export"] = sr_command(["export", quoted, "-o", f"{file}.safetensors"])
        video = isinstance(run.config.get("stages"), list)
        made = "restored" if run.scale == 1 else "large"
        names = f"clip.mp4 -o clip_{made}.mp4" if video else f"photo.png -o photo_{made}.png"
        commands["upscale"] = sr_command(["upscale", names, "--checkpoint", quoted])
    return commands


def _longer(run: Run, steps: int) -> str | None:
    """Return the override for so many steps; None where config.yaml doesn't tell what to set."""
    try:
        return longer(run.config, steps)
    except (KeyError, TypeError, ValueError):  # a damaged config.yaml
        return None
