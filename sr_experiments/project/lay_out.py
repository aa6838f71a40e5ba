"""`sr init`: create a folder with a configuration and a network of your own, from the files next to this module."""

import importlib.util
import keyword
import re
import shutil
import sys
from pathlib import Path

from sr_experiments.errors import SRError

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "mine.py": "{project}.py",
    "conf/model/mine.yaml": "conf/model/mine.yaml",
    "conf/experiment/mine.yaml": "conf/experiment/mine.yaml",
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
TAKEN = ("sr_experiments", "hydra_plugins", "conf", "mine")


def lay_out(folder: Path) -> None:
    """Create the folder of a project. Its name becomes the name of the project's module.

    Raises:
        SRError: the name is not a valid module name or is taken, or the folder is not empty.
    """
    project = folder.absolute().name
    if not _usable(project):
        fitting = re.sub(r"\W+", "_", project, flags=re.ASCII).strip("_")
        hint = fitting if _usable(fitting) else "my_project"
        raise SRError(f"{project} can't be the name of a Python module of yours: choose one such as {hint}")
    if _is_installed(project):
        raise SRError(f"{project} is the name of an installed Python module: choose another, such as my_{project}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SRError(f"{folder} is there already: choose a new name, or an empty folder")
    made = folder.with_name(f".{project}.partial")
    shutil.rmtree(made, ignore_errors=True)
    try:
        for source, target in FILES.items():
            path = made / target.format(project=project)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (Path(__file__).parent / source).read_text(encoding="utf-8")
            path.write_text(text.replace("PROJECT", project), encoding="utf-8")
        made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _usable(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and not keyword.iskeyword(name) and name not in TAKEN


def _is_installed(name: str) -> bool:
    """Return whether Python finds a module, which a project of its name would hide or replace."""
    if name in sys.stdlib_module_names:
        return True
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None  # any folder is a module without an origin
