"""Extras of this package, and the command that installs one, as the user installed this package."""

import os
from pathlib import Path

from sr_experiments.config.quoting import BY_UV


class MissingExtra(Exception):
    """A file is of a format that an extra reads, which isn't installed; the message names it."""


def install_extra(name: str) -> str:
    """Return the command that installs an extra of pyproject.toml."""
    if not (Path(__file__).parents[2] / "pyproject.toml").is_file():  # not a checkout
        return f"pip install 'sr-experiments[{name}]'"
    return f"uv sync --inexact --extra {name}" if BY_UV in os.environ else f"pip install -e '.[{name}]'"
