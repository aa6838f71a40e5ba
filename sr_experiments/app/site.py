"""`sr app`: a page on this machine alone, on which images and videos are upscaled by trained networks."""

import json
import math
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sr_experiments.app.checkpoints import find_checkpoints
from sr_experiments.app.jobs import Jobs
from sr_experiments.errors import SRError, one_line
from sr_experiments.inference.bounds import NUMBERS
from sr_experiments.inference.sizes import WantedSize
from sr_experiments.processes.sigterm import ended_by_sigterm
from sr_experiments.report.html import html_page
from sr_experiments.report.loopback import HTML, JSON, TEXT, Answer, Content, Query, Site, serve

BINARY = "application/octet-stream"  # never shown by a browser, whatever is in it
SCRIPTS = ("elements", "viewer", "app")


class AppSite(Site):
    """The page, and the jobs that it starts.

    Args:
        checkpoints: folder of runs and files of weights.
        jobs: the queue.
        options: of `sr upscale`, for all jobs.
        most_megabytes: of a file.

    Raises:
        SRError: there is no checkpoint.
    """

    def __init__(self, checkpoints: Path, jobs: Jobs, options: dict[str, Any], most_megabytes: int) -> None:
        self.checkpoints, self.jobs, self.options = checkpoints, jobs, options
        self.most_bytes = most_megabytes * 1_000_000
        find_checkpoints(checkpoints)

    def answer(self, name: str, query: Query) -> Answer:
        """Return the page, the states of the jobs, or a file of one."""
        if name == "":
            return HTTPStatus.OK, HTML, self._page().encode()
        if name == "jobs":
            return HTTPStatus.OK, JSON, json.dumps(self.jobs.shown()).encode()
        if name in ("before", "after", "result"):
            file = self.jobs.file(query.get("job", [""])[0], name)
            if file is not None:
                return HTTPStatus.OK, BINARY if name == "result" else "image/png", file
        return super().answer(name, query)

    def take(self, name: str, query: Query, content: Content) -> Answer:
        """Take a file to upscale, or remove a job."""
        given = {key: values[0] for key, values in query.items()}
        try:
            if name == "remove":
                self.jobs.remove(given.get("job", ""))
            elif name == "add":
                self._add(given, content)
            else:
                return super().take(name, query, content)
        except SRError as error:
            return HTTPStatus.BAD_REQUEST, TEXT, one_line(error).encode()
        return HTTPStatus.OK, JSON, b"{}"

    def _page(self) -> str:
        found = [
            {**checkpoint._asdict(), "path": str(checkpoint.path)} for checkpoint in find_checkpoints(self.checkpoints)
        ]
        content = {"runs": [], "checkpoints": found, "mostBytes": self.most_bytes}
        return html_page("Upscale", SCRIPTS, content, live=True)

    def _add(self, given: dict[str, str], content: Content) -> None:
        name = one_line(Path(given.get("name", "")).name[-200:]) or "file"
        if content.length > self.most_bytes:
            raise SRError(
                f"{name} is larger than {self.most_bytes // 1_000_000} MB: start sr app with a larger --max-mb"
            )
        names = {str(found.path): found.name for found in find_checkpoints(self.checkpoints)}
        path = given.get("checkpoint", "")
        if path not in names:
            raise SRError("this checkpoint is no longer there: reload the page")
        options = {**self.options, **{key: _number(key, given[key]) for key in NUMBERS if key in given}}
        WantedSize(**{key: options[key] for key in ("scale", "width", "height", "longest") if key in options}).check()
        request = {"checkpoint": path, "options": options}
        self.jobs.add(name, content.blocks(), content.length, names[path], request)


def _number(key: str, text: str) -> float:
    kind, least, most = NUMBERS[key]
    try:
        value = kind(text[:20])
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        whole = "a whole number" if kind is int else "a number"
        raise SRError(f"{key} must be {whole} from {least:g} to {most:g}")
    return value


def serve_app(checkpoints: Path, options: dict[str, Any], most_megabytes: int, port: int) -> None:
    """Serve the page until Ctrl-C; files and results are in a temporary folder that is removed then.

    Raises:
        SRError: there is no checkpoint, or the port is taken.
    """
    count = len(find_checkpoints(checkpoints))
    with ended_by_sigterm(), TemporaryDirectory(prefix="sr_app_", ignore_cleanup_errors=True) as folder:
        jobs = Jobs(Path(folder))
        try:
            site = AppSite(checkpoints, jobs, options, most_megabytes)
            serve(site, port, f"{count} checkpoint{'s' if count > 1 else ''}", "files and results are removed then")
        finally:
            jobs.close()
