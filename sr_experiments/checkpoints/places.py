"""Where the files of a checkpoint are."""

import re
from pathlib import Path

from sr_experiments.errors import SRError

HUB_WEIGHTS = "model.safetensors"  # in a folder for the Hugging Face Hub
NCNN = rb"7767517\s"  # how a .param of ncnn begins
TIME_STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?")


def checkpoint_in(folder: Path) -> Path | None:
    """Return the checkpoint of a run folder, the best or else the last, or that of a Hub folder; None without one."""
    files = (folder / name for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", HUB_WEIGHTS))
    return next((file for file in files if file.is_file()), None)


def newest_run(path: Path) -> Path:
    """Return the newest run with a checkpoint of a folder `outputs/<name>`; any other path as it is.

    Runs are the folders there that are named by time stamps; `~` is expanded.
    """
    path = path.expanduser()
    if not path.is_dir() or checkpoint_in(path) is not None:
        return path
    runs = [run for run in path.iterdir() if TIME_STAMP.fullmatch(run.name)]
    return max((run for run in runs if checkpoint_in(run) is not None), default=path)


def file_of(path: Path) -> Path:
    """Return the file of a checkpoint: the path itself, the best or last of a run folder, or that of a Hub folder."""
    if path.is_dir():
        if (found := checkpoint_in(path)) is not None:
            return found
        raise SRError(
            f"{path} has no checkpoints/best.ckpt or last.ckpt, nor {HUB_WEIGHTS}: give a run folder or a checkpoint "
            "file"
        )
    if not path.is_file():
        raise SRError(f"no checkpoint {path}: check the path")
    return path


def files_of(path: Path) -> list[Path]:
    """Return the files that decide what a checkpoint is: one, or the `.param` and the `.bin` of ncnn."""
    file = file_of(path)
    param = param_of(file)
    return [file] if param is None else [param, bin_of(param)]


def param_of(file: Path) -> Path | None:
    """Return the `.param` that a file is, or beside which it is the `.bin`; None if it isn't of ncnn."""
    with file.open("rb") as opened:
        if re.match(NCNN, opened.read(8)):
            return file
    beside = file.with_suffix(".param")
    return beside if file.suffix == ".bin" and beside.is_file() else None


def bin_of(param: Path) -> Path:
    """Return the `.bin` of a `.param`; those of several scales may share one that is named without the scale."""
    own = param.with_suffix(".bin")
    shared = param.with_name(f"{re.sub(r'[-_]?(x[1-4]|[1-4]x)$', '', param.stem)}.bin")
    for file in (own, shared):
        if file.is_file():
            return file
    raise SRError(f"{param} has no weights: put {own.name} beside it")
