"""The one exception that is meant for the user's eyes."""

import os


class SRError(Exception):
    """A mistake the user can mend: the message is one line that names the thing and the fix.

    Commands print the message alone and exit with code 2; anything else that is raised is a bug
    and keeps its traceback.
    """


class NotFinite(SRError):
    """A loss or a gradient became NaN or infinite.

    Attributes:
        step: the first at which one did, counted from 1.
        key: which one, as in metrics.csv.
        seen: all values by step and key since the last look.
    """

    def __init__(
        self, message: str, step: int = 0, key: str = "", seen: dict[int, dict[str, float]] | None = None
    ) -> None:
        super().__init__(message)
        self.step = step
        self.key = key
        self.seen = seen or {}


def one_line(text: object) -> str:
    """A message in which names of files, say, neither break the line nor steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def path_error(error: OSError) -> SRError | None:
    """The user's line for a name that is too long, say, or a folder that may not be read; None if it names no path."""
    if error.filename is None:
        return None
    return SRError(f"{os.fsdecode(error.filename)[:200]}: {error.strerror}; check the path")
