"""Write commands that can be pasted: quoted for Hydra, and then for the shell."""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

BY_UV = "UV_RUN_RECURSION_DEPTH"  # environment variable that `uv run` sets, and neither uvx nor an installed tool
SCRIPT = "SR_TRAIN_SCRIPT"  # environment variable that train.py sets to its own path, as it was typed
PLAIN = re.compile(r"[\w./][\w./+\-]*", re.ASCII)  # a text that Hydra reads as it is
NOT_TEXT = re.compile(r"(?i)null|true|false|nan|inf|[\d_.]*(e[+-]?\d*)?")  # what Hydra takes for something else


def hydra_text(text: object) -> str:
    """Return text as the value of an override, in quotes where Hydra needs them."""
    plain = str(text)
    if PLAIN.fullmatch(plain) and not NOT_TEXT.fullmatch(plain):
        return plain
    # Backslashes count before a quote only, and before ${, which would refer to another setting.
    quoted = re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\*)\$\{", r"\1\1\\${", plain))
    ended = re.sub(r"(\\+)$", r"\1\1", quoted)
    return f"'{ended}'"


def hydra_value(value: Any) -> str:
    """Return plain data as the value of an override."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ",".join(f"{hydra_text(key)}:{hydra_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(hydra_value, value)) + "]"
    return hydra_text(value) if isinstance(value, str) else repr(value)


def escaped(value: Any) -> Any:
    """Return plain data as a YAML file of OmegaConf's must have it: texts with ${ refer to no other setting."""
    return _each_text(value, lambda text: re.sub(r"(\\*)\$\{", r"\1\1\\${", text))


def unescaped(value: Any) -> Any:
    """Return plain data as it was before `escaped`."""
    return _each_text(value, lambda text: re.sub(r"((?:\\\\)*)\\\$\{", lambda m: m[1][::2] + "${", text))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_each_text(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def shell_text(text: object) -> str:
    """Return text as one word of a shell's command line; line breaks and control characters as bash escapes them."""
    plain = str(text)
    if plain.isprintable():
        return shlex.quote(plain)
    escaped = "".join(
        "\\" + c if c in "\\'" else c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c))
        for c in plain
    )
    return f"$'{escaped}'"


def shell_path(path: object) -> str:
    """Return a path as an argument of a command; one that begins with a dash is no option of it."""
    text = str(path)
    return shell_text(f"./{text}" if text.startswith("-") else text)


def override(key: str, value: Any) -> str:
    """Return `key=value`, quoted for Hydra and the shell."""
    return shell_text(f"{key}={hydra_value(str(value) if isinstance(value, Path) else value)}")


def train_command(words: Sequence[str]) -> str:
    """Return the command that trains with these words, which are quoted already, as the user starts trainings."""
    if SCRIPT not in os.environ:
        return sr_command(["train", *words])
    return " ".join(("uv run" if BY_UV in os.environ else "python", shell_path(os.environ[SCRIPT]), *words))


def sr_command(words: Sequence[str]) -> str:
    """Return a command of `sr` with these words, which are quoted already, as the user starts Python."""
    return " ".join(("uv run sr" if BY_UV in os.environ else "sr", *words))


def from_config(folder: Path) -> list[str]:
    """Return the words of a training that starts with the configuration in a run folder."""
    return ["--config-dir", shell_path(folder), "--config-name", "config"]


def command_line(arguments: Sequence[str]) -> str:
    """Return the command that trains with these arguments, as Hydra reads them."""
    return train_command([shell_text(argument) for argument in arguments])
