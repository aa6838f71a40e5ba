"""`sr init`: create a folder with a configuration and a network of your own, from the files next to this module."""

import keyword
import re
import shutil
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
    if not NAME.fullmatch(project) or keyword.iskeyword(project) or project in TAKEN:
        fitting = re.sub(r"\W+", "_", project, flags=re.ASCII).strip("_")
        hint = fitting if NAME.fullmatch(fitting) and fitting not in TAKEN else "my_project"
        raise SRError(f"{project} can't be the name of a Python module of yours: choose one such as {hint}")
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
