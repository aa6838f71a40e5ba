"""Create run folders, and tell the git state of the code that fills them."""

import contextlib
import os
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from sr_experiments.config.declared import PACKAGE
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing, writing_failed

SLURM_JOB = "SLURM_JOB_ID"


def new_run_folder(root: Path, name: str) -> Path:
    """Create `root/name/<timestamp>`; two runs that start in the same second get two folders.

    In a Slurm job, its name is written to a file beside it, for `requeued_run_folder`.

    Raises:
        SRError: the folder can't be written.
    """
    parent = root / name
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = parent / (stamp if attempt == 0 else f"{stamp}_{attempt}")
            # mkdir is atomic: of two processes with the same time stamp only one gets the folder.
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                if job := os.environ.get(SLURM_JOB):
                    with replacing(parent / f".slurm_{job}") as temporary:
                        temporary.write_text(folder.name)
                return folder
    except OSError as error:
        raise writing_failed(parent, error, "output_dir=") or error from error
    raise SRError(f"cannot find a free folder name in {parent}")


def requeued_run_folder(root: Path, name: str) -> Path | None:
    """Return the run folder that this Slurm job made before Slurm requeued it; None if it was not requeued."""
    if not int(os.environ.get("SLURM_RESTART_COUNT") or 0):
        return None
    note = root / name / f".slurm_{os.environ.get(SLURM_JOB)}"
    return root / name / note.read_text().strip() if note.is_file() else None


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit checked out in `folder` and whether there are changes; empty outside a git checkout."""
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return {} if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def code_state() -> dict[str, Any]:
    """Return the git state of this code; empty where it is installed, even inside another's checkout."""
    checkout = PACKAGE.parent
    return git_state(checkout) if (checkout / "train.py").is_file() else {}


def git_remote(folder: Path) -> str | None:
    """Return the address that `folder` was cloned from, without user, token or password; None if there is none."""
    address = _git(folder, "config", "--get", "remote.origin.url")
    return address and re.sub(r"(?<=://)[^/]*@", "", address)


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None if it fails."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
