"""`sr compare --live`: the page on this machine alone, kept fresh while runs train.

The page asks for what has changed: numbers every few seconds, pictures when the reader wants the new ones.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.report.comparison import Comparison, compare
from sr_experiments.report.loopback import HTML, JSON, Answer, Query, Site, serve
from sr_experiments.report.page import measured_content, page_of, picture_content
from sr_experiments.report.samples import newest_steps
from sr_experiments.runs.reading import Run, find_runs, names_of, read_run
from sr_experiments.runs.state import WRITTEN_FILES, read_summary, state_of
from sr_experiments.runs.trouble import discriminator, troubles


class LiveRuns(Site):
    """Runs that are read again as their files change.

    Args:
        places: run folders, or folders of runs, where further runs may begin.
        evaluations: files of `sr evaluate --json`.
        pictures: number of validation crops to show.
        most_megabytes: of pictures and clips.

    Raises:
        SRError: a place has no run, or a run can't be read.
    """

    def __init__(self, places: Sequence[Path], evaluations: Sequence[Path], pictures: int, most_megabytes: int) -> None:
        self.places, self.evaluations = places, evaluations
        self.pictures, self.most_megabytes = pictures, most_megabytes
        self._lock = threading.Lock()
        self._runs: dict[Path, tuple[Any, Run]] = {}  # each with the signature of the files it was read from
        self._comparison: Comparison | None = None
        self.comparison()

    def comparison(self) -> Comparison:
        """Return the runs as they are now; those that were there keep their places, new ones follow them.

        A run that can't be read any more, for it was moved or removed, stays as it was last.
        """
        with self._lock:
            found = {folder.resolve(): folder for folder in self._found()}
            folders = [*self._runs, *(path for path in found if path not in self._runs)]
            names = names_of([found.get(path, path) for path in folders])
            changed = self._comparison is None
            for path, name in zip(folders, names, strict=True):
                signature, run = self._runs.get(path, (None, None))
                now = _signature(path)
                try:
                    if run is None or now != signature:
                        self._runs[path], changed = (now, read_run(found.get(path, path), name)), True
                    elif run.name != name:
                        self._runs[path], changed = (now, replace(run, name=name)), True
                except SRError:
                    if self._comparison is None:
                        raise
            if changed or self._comparison is None:
                self._comparison = compare([run for _, run in self._runs.values()])
            return self._comparison

    def page(self) -> str:
        """Return the page, whose script asks for the rest."""
        comparison = self.comparison()
        return page_of({**self.numbers(comparison), **self._pictures(comparison.runs)}, self.evaluations, live=True)

    def numbers(self, comparison: Comparison | None = None) -> dict[str, Any]:
        """Return all that the page shows but pictures, and how each run is doing."""
        comparison = comparison or self.comparison()
        return {**measured_content(comparison), "live": {"runs": [_doing(run) for run in comparison.runs]}}

    def answer(self, name: str, query: Query) -> Answer:
        """Return the page, its pictures, or its numbers if they changed."""
        if name == "":
            return HTTPStatus.OK, HTML, self.page().encode()
        if name == "pictures":
            runs = self.comparison().runs
            content = {**self._pictures(runs), "steps": newest_steps(runs)}
            return HTTPStatus.OK, JSON, json.dumps(content, allow_nan=False).encode()
        if name == "numbers":
            numbers = self.numbers()
            # The time at which it was made makes no news.
            version = hashlib.sha256(json.dumps({**numbers, "made": ""}).encode()).hexdigest()[:16]
            if query.get("have") == [version]:
                return HTTPStatus.NO_CONTENT, JSON, b""
            return HTTPStatus.OK, JSON, json.dumps({"version": version, **numbers}, allow_nan=False).encode()
        return super().answer(name, query)

    def _pictures(self, runs: Sequence[Run]) -> dict[str, Any]:
        return picture_content(runs, self.pictures, self.most_megabytes, with_best=True)

    def _found(self) -> list[Path]:
        try:
            return find_runs(self.places)
        except SRError:
            if self._comparison is None:
                raise
            return []


def _doing(run: Run) -> dict[str, Any]:
    return {
        "left": run.seconds_left,
        "monitor": (run.monitor or "").removeprefix("val/"),
        "gan": discriminator(run),
        "troubles": troubles(run),
        "pictures": newest_steps([run])[0],
    }


def _signature(folder: Path) -> tuple[Any, ...]:
    """Return what changes when a run's files do, or when it ends without writing anything."""
    stamps = []
    for name in (*WRITTEN_FILES, "samples"):
        try:
            stat = (folder / name).stat()
            stamps.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            stamps.append((0, 0))
    return (*stamps, state_of(folder, read_summary(folder)).state)


def serve_runs(live: LiveRuns, port: int) -> None:
    """Serve the page until Ctrl-C, and print its address."""
    count = len(live.comparison().runs)
    serve(live, port, f"{count} run{'s' if count > 1 else ''}", "the runs go on")
