"""Write files atomically, tell them apart, and turn errors of the disk into messages for the user."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. On success it atomically replaces `path`; on failure it is removed.

    Raises:
        SRError: the disk is full or can't be written; an earlier file at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        give_usual_mode(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # else a power failure could leave an empty file under the final name
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise writing_failed(path, error) or error from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def give_usual_mode(path: Path) -> None:
    """Give a file the mode that the umask gives: some libraries write files that only their owner can read."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return
    probe = path.with_name(f".{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        probe.touch()
        path.chmod(stat.S_IMODE(probe.stat().st_mode))
    finally:
        probe.unlink(missing_ok=True)


def sha256_of(*files: Path) -> str:
    """Return the SHA-256 of the content of files, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Remove the unfinished files of a killed process; no other process may be writing in the folder."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def writing_failed(path: Path, error: BaseException, option: str = "") -> SRError | None:
    """Return the message for an error of the disk, or one of its causes, while writing `path`; None for another error.

    The message names the `option` that chooses the place.
    """
    chain: BaseException | None = error
    seen: set[int] = set()  # an exception can be its own cause
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        if isinstance(chain, OSError) and chain.errno in FULL:
            return SRError(f"no space left for {path}: free some and continue; nothing else is lost")
        if isinstance(chain, OSError) and chain.errno in NOT_WRITABLE:
            place = f"another place with {option}" if option else "another place"
            return SRError(f"cannot write {path} ({os.strerror(chain.errno)}): choose {place}")
        chain = chain.__cause__ or chain.__context__
    # torch's zip writer reports a short write without an errno.
    if "unexpected pos" in str(error) or "file write failed" in str(error):
        return SRError(f"could not finish writing {path}, most likely no space left: free some and continue")
    return None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON, atomically; what JSON does not know is written as text."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
