"""The checkpoints that the page offers."""

from pathlib import Path
from typing import NamedTuple

from sr_experiments.checkpoints.places import checkpoint_in
from sr_experiments.errors import SRError
from sr_experiments.files.walk import walk
from sr_experiments.runs.listing import ListedRun, list_runs

EXTENSIONS = (".pth", ".pt", ".ckpt", ".safetensors", ".param")


class Checkpoint(NamedTuple):
    """A run folder or a file of weights, with its name on the page and what the page says about it."""

    path: Path
    name: str
    about: str = ""


def find_checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the runs with a checkpoint in a folder, then the files of weights; of each the newest first.

    Raises:
        SRError: the folder does not exist, or has neither.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise SRError(f"no folder {folder}: give one with runs or files of weights to --checkpoints")
    try:
        runs = list_runs(folder)
    except SRError:
        runs = []
    inside = [Path(run.folder) for run in runs]
    files = [Path(path) for path in walk(folder, lambda name: name.lower().endswith(EXTENSIONS)).paths()]
    files = [file for file in files if file.is_file() and not any(run in file.parents for run in inside)]
    files.sort(key=lambda file: -file.stat().st_mtime)
    trained = [run for run in runs if checkpoint_in(Path(run.folder)) is not None]
    found = [Checkpoint(Path(run.folder), run.name, _about(run)) for run in trained]
    found += [Checkpoint(file, str(file.relative_to(folder))) for file in files]
    if not found:
        raise SRError(f"no checkpoint in {folder}: train a network, or give a folder with some to --checkpoints")
    return found


def _about(run: ListedRun) -> str:
    best = "" if run.best is None else f"{(run.metric or '').rsplit('/', 1)[-1]} {run.best:.{run.digits}f}, "
    return f"{best}{run.state}"
