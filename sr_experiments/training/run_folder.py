"""A run's folder on disk: where everything goes, and files that are whole or not there."""

import contextlib
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the yielded temporary path; on success it becomes `path` in one step, on failure it vanishes.

    Raises:
        SRError: the disk is full or can't be written to; an earlier file at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise writing_failed(path, error) or error from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def writing_failed(path: Path, error: BaseException) -> SRError | None:
    """The user's line for an error of the disk, or None if it is an error of another kind."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return SRError(f"no space left for {path}: free some, then continue with resume= (nothing else is lost)")
        if isinstance(chain, OSError) and chain.errno in (
            errno.EROFS,
            errno.EACCES,
            errno.EPERM,
            errno.ENOTDIR,
            errno.ENOENT,
        ):
            return SRError(f"cannot write {path} ({os.strerror(chain.errno)}): choose another place with output_dir=")
        chain = chain.__cause__ or chain.__context__
    # torch's zip writer reports a short write without an errno.
    if "unexpected pos" in str(error) or "file write failed" in str(error):
        return SRError(f"could not finish writing {path}, most likely no space left: free some and resume")
    return None


def new_run_folder(root: Path, name: str) -> Path:
    """Make `root/name/<timestamp>`; two runs of one second get two folders.

    Raises:
        SRError: the place can't be written to.
    """
    parent = root / name
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = parent / (stamp if attempt == 0 else f"{stamp}_{attempt}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise writing_failed(parent, error) or error from error
    raise SRError(f"cannot find a free folder name in {parent}")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def git_state(folder: Path) -> dict[str, Any]:
    """The commit that `folder` is at and whether it has changes; empty outside a git checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}
