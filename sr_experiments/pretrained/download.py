"""Download one file: checked by its sha256, resumable, with a progress bar, and never half-written."""

import contextlib
import http.client
import logging
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.filesize import decimal
from rich.progress import DownloadColumn, TransferSpeedColumn

from sr_experiments.display.terminal import WHOLE, make_progress, readable_seconds, stderr_console
from sr_experiments.errors import SRError, first_line
from sr_experiments.files.writing import replacing, sha256_of, writing_failed

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 4.0  # seconds until a server must have answered, name look-up and all its addresses included
STALL_TIMEOUT = 20.0  # seconds without data
TRIES = 3  # connections in a row that may break off
CHUNK = 1 << 18
LOG_INTERVAL = 10.0  # seconds between the lines that take the bar's place where there is no terminal
MEASURED = 2.0  # seconds of transfer from which the speed is judged

Advance = Callable[[int, float], None]  # bytes there; seconds left


class DownloadFailed(SRError):
    """A file could not be downloaded; the message is the reason, without the address."""


class TooSlow(DownloadFailed):
    """The download would take longer than the caller has patience."""


def download(
    url: str, file: Path, sha256: str, size: int, label: str, patience: float | None = None, tries: int = TRIES
) -> None:
    """Download `url` to `file`. It goes on where an earlier one was interrupted.

    Args:
        url: of the file: https, http or file.
        file: gets its name only when it is whole and checked.
        sha256: of the content, in hexadecimal, or its first digits.
        size: expected, in bytes; a server that sends more than twice as much is not believed.
        label: of the progress bar.
        patience: seconds that the rest may take when the speed is known; None for any time.
        tries: connections in a row that may break off before it fails.

    Raises:
        TooSlow: it would take longer than `patience`.
        DownloadFailed: the server does not answer, breaks off or sends something else.
        SRError: the file can't be written.
    """
    part = remains_of(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        while True:
            resumed = part.is_file()
            _fetch(url, part, size, label, patience, tries)
            if sha256_of(part).startswith(sha256):
                break
            part.unlink()
            if not resumed:  # else the earlier part may have been of another file, or damaged
                raise DownloadFailed("the file is another than expected (its sha256 differs)")
        with replacing(file) as temporary:
            part.replace(temporary)
    except OSError as error:
        raise writing_failed(file, error) or DownloadFailed(first_line(error)) from error


def remains_of(file: Path) -> Path:
    """Return the path of what an interrupted download of `file` leaves."""
    return file.with_name(f".{file.name}.part")


def _fetch(url: str, part: Path, size: int, label: str, patience: float | None, tries: int) -> None:
    """Complete `part`, in several connections where one breaks off."""
    failures = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            return _transfer(url, part, size, label, patience)
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            grown = part.is_file() and part.stat().st_size > before
            failures = 1 if grown else failures + 1
            if failures >= tries:
                raise DownloadFailed(f"it broke off ({first_line(error)})") from error
            log.info("%s: broke off (%s), going on", label, first_line(error))


def _transfer(url: str, part: Path, size: int, label: str, patience: float | None) -> None:
    """Append to `part` what a server sends, or write it anew if the server begins at the beginning."""
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "sr_experiments"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        response = _open(request)
    except urllib.error.HTTPError as error:
        if error.code == 416 and there:  # nothing is left to send: the caller checks what is there
            return
        raise DownloadFailed(f"the server answers {error.code} {error.reason}") from error
    with response, _progress(label, size) as advance:
        if getattr(response, "status", None) != 206:
            there = 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length and length.isdecimal() else size
        if total > 2 * size:
            raise DownloadFailed(f"the server sends {total >> 20} MiB, not {size >> 20}")
        begin, got = time.monotonic(), 0
        with part.open("ab" if there else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                got += len(chunk)
                if there + got > 2 * size:
                    raise DownloadFailed(f"the server sends more than {2 * size >> 20} MiB")
                seconds = time.monotonic() - begin
                left = (total - there - got) * seconds / got
                advance(there + got, left)
                if patience is not None and seconds > MEASURED and left > patience:
                    raise TooSlow(f"slow, {readable_seconds(left)} are left")
        if length and got < int(length):
            raise http.client.IncompleteRead(b"", int(length) - got)


def _open(request: urllib.request.Request) -> Any:
    """Open a connection within `CONNECT_TIMEOUT` seconds in all.

    urllib's own time-out doesn't bound the look-up of the name, and counts anew for each address of a server.
    """
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=STALL_TIMEOUT))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_TIMEOUT)
    except queue.Empty:
        raise DownloadFailed(f"no answer within {CONNECT_TIMEOUT:g} s") from None
    if isinstance(answer, urllib.error.URLError) and not isinstance(answer, urllib.error.HTTPError):
        reason = answer.reason
        raise DownloadFailed(str(getattr(reason, "strerror", None) or reason)) from answer
    if isinstance(answer, BaseException):
        raise answer
    return answer


@contextlib.contextmanager
def _progress(label: str, size: int) -> Iterator[Advance]:
    """Show a bar with the time left; without a terminal log a line every `LOG_INTERVAL` seconds."""
    console = stderr_console()
    log.info("downloading %s, %s", label, decimal(size))
    if console.is_terminal:
        numbers = (DownloadColumn(table_column=WHOLE), TransferSpeedColumn(table_column=WHOLE))
        with make_progress(console, *numbers, transient=True) as bar:
            task = bar.add_task(label, total=size)
            yield lambda done, left: bar.update(task, completed=done)
        return
    said = time.monotonic()

    def say(done: int, left: float) -> None:
        nonlocal said
        if time.monotonic() - said >= LOG_INTERVAL:
            said = time.monotonic()
            log.info("%s: %s of %s, %s left", label, decimal(done), decimal(size), readable_seconds(left))

    yield say
