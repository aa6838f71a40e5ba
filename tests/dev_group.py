"""What the tests need beyond what a user needs, installed by `uv run pytest` itself.

uv installs the same groups for every `uv run`, and a user who only trains needs no browser driver or type checker.
"""

import importlib
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).resolve().parents[1]


def missing() -> list[str]:
    """The packages of the dev group that are not installed."""
    group: list[Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"][
        "dev"
    ]
    installed = {distribution.name.lower().replace("_", "-") for distribution in metadata.distributions()}
    names = [Requirement(one).name for one in group if isinstance(one, str)]
    return [name for name in names if name.lower().replace("_", "-") not in installed]


def install() -> None:
    """Install what is missing where uv started these tests; elsewhere the tests that need it tell."""
    uv, absent = os.environ.get("UV"), missing()
    if not uv or not absent:
        return
    sys.stderr.write(f"installing the dev group for the tests: {', '.join(absent)}\n")
    done = subprocess.run([uv, "sync", "--quiet", "--inexact", "--group", "dev"], cwd=PROJECT, text=True)
    if done.returncode:
        raise pytest.UsageError("uv sync --group dev failed: see above")
    importlib.invalidate_caches()
