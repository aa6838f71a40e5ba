"""Files that are whole or not there, and what to say when the disk refuses."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
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


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left of unfinished files; nobody may be writing there now."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def writing_failed(path: Path, error: BaseException, option: str = "") -> SRError | None:
    """The user's line for an error of the disk, or None if it is an error of another kind.

    Args:
        path: what was being written.
        error: what was raised.
        option: with which the user chooses the place.
    """
    chain: BaseException | None = error
    seen: set[int] = set()  # an error may be its own cause
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        if isinstance(chain, OSError) and chain.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return SRError(f"no space left for {path}: free some and continue; nothing else is lost")
        if isinstance(chain, OSError) and chain.errno in (
            errno.EROFS,
            errno.EACCES,
            errno.EPERM,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.ENOENT,
            errno.ENAMETOOLONG,
        ):
            place = f"another place with {option}" if option else "another place"
            return SRError(f"cannot write {path} ({os.strerror(chain.errno)}): choose {place}")
        chain = chain.__cause__ or chain.__context__
    # torch's zip writer reports a short write without an errno.
    if "unexpected pos" in str(error) or "file write failed" in str(error):
        return SRError(f"could not finish writing {path}, most likely no space left: free some and continue")
    return None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
