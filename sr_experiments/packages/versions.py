"""Versions of packages, by which results are told apart."""

import platform
from collections.abc import Iterable
from importlib import metadata

from sr_experiments import __version__
from sr_experiments.runs.folder import code_state

SHOWN = ("torch", "pytorch-lightning", "hydra-core", "wandb")


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that is installed, by its name."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def version_lines() -> list[str]:
    """Return what `sr --version` shows: this version, with the git state of a checkout, and those of other packages."""
    state = code_state()
    git = f" (git {state['commit'][:10]}{', with changes' if state['dirty'] else ''})" if state else ""
    others = [f"{name} {version}" for name, version in installed_versions(SHOWN).items()]
    return [f"sr_experiments {__version__}{git}", *others, f"Python {platform.python_version()}"]
