"""Errors for users, and their messages in one line."""

import os


class SRError(Exception):
    """An error that the user can fix: its message is one line that names the thing and the fix.

    Commands print the message alone and exit with code 2. Any other exception is a bug, and keeps its traceback.
    """


class NotFinite(SRError):
    """A loss or a gradient became NaN or infinite."""

    def __init__(
        self, message: str, step: int = 0, key: str = "", seen: dict[int, dict[str, float]] | None = None
    ) -> None:
        super().__init__(message)
        self.step = step  # the first with such a value, counted from 1
        self.key = key  # name of the value, as in metrics.csv
        self.seen = seen or {}  # all values since the last check, by step and key


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def one_line(text: object) -> str:
    """Escape what can't be printed: file names can hold line breaks and codes that control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def path_error(error: OSError) -> SRError | None:
    """Return the message for an error with a path, such as a name that is too long; None if it has no path."""
    if error.filename is None:
        return None
    return SRError(f"{os.fsdecode(error.filename)[:200]}: {error.strerror}; check the path")


def user_message(error: Exception) -> str | None:
    """Return the line for an error that the user can fix; None for a bug."""
    if isinstance(error, MemoryError):
        return "not enough memory: close other programs, or give smaller images"
    known = path_error(error) if isinstance(error, OSError) and not isinstance(error, SRError) else error
    return one_line(known) if isinstance(known, SRError) else None
