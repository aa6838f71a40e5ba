"""Where the file of a checkpoint is."""

from pathlib import Path

from sr_experiments.errors import SRError


def file_of(path: Path) -> Path:
    """Return the file of a checkpoint: the path itself, or the best or last checkpoint of a run folder."""
    if path.is_dir():
        for name in ("best.ckpt", "last.ckpt"):
            if (path / "checkpoints" / name).is_file():
                return path / "checkpoints" / name
        raise SRError(f"{path} has no checkpoints/best.ckpt or last.ckpt: give a run folder or a checkpoint file")
    if not path.is_file():
        raise SRError(f"no checkpoint {path}: check the path")
    return path
