"""`sr sync`: upload offline W&B runs with W&B's own `wandb sync`."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_experiments.display.terminal import job_progress, make_table, stdout_console
from sr_experiments.errors import SRError
from sr_experiments.runs.reading import find_runs, names_of
from sr_experiments.runs.state import read_summary, state_of

SESSION = "offline-run-*"  # W&B's folder of one session; every resume starts another
URL = re.compile(r"https?://\S+/runs/\S+")
LOGIN = re.compile(r"wandb login|no api key|not authenticated", re.IGNORECASE)
# How W&B prints why an upload failed.
ERROR = re.compile(r"(?:wandb: )?(?:ERROR|Error:|panic:)\s*(.+)")
# Variables of the training environment that would change what `wandb sync` does.
NOT_FOR_SYNC = ("WANDB_MODE", "WANDB_SILENT", "WANDB_RUN_ID", "WANDB_RESUME")


@dataclass(frozen=True)
class OfflineRun:
    """A run with offline W&B sessions."""

    folder: Path  # the run folder
    name: str  # short unique name
    to_upload: list[Path]  # folders of the sessions that are not in W&B yet, oldest first
    state: str  # "running", "to upload" or "uploaded"


def find_offline(places: Sequence[Path]) -> list[OfflineRun]:
    """Return the runs with offline W&B sessions; errors as of `find_runs`.

    Places are run folders, folders of runs, or single sessions, `<run folder>/wandb/offline-run-...`.
    """
    sessions: dict[Path, set[Path]] = {}
    for place in (path.expanduser() for path in places):
        if place.match(SESSION) and place.is_dir():
            sessions.setdefault(place.resolve().parent.parent, set()).add(place.resolve())
            continue
        for folder in find_runs([place]):
            found = {path.resolve() for path in (folder / "wandb").glob(SESSION) if any(path.glob("*.wandb"))}
            if found:
                sessions.setdefault(folder.resolve(), set()).update(found)
    runs = []
    for (folder, found), name in zip(sessions.items(), names_of(list(sessions)), strict=True):
        to_upload = sorted(session for session in found if not _is_uploaded(session))
        state = "to upload" if to_upload else "uploaded"
        # A session that is still written would be uploaded incompletely, and count as uploaded.
        if to_upload and state_of(folder, read_summary(folder)).state == "running":
            state = "running"
        runs.append(OfflineRun(folder, name, to_upload, state))
    return runs


def list_offline(places: Sequence[Path]) -> None:
    """Print the offline runs and what is to upload of each; errors as of `find_offline`."""
    rows = []
    for run in find_offline(places):
        files = [file for session in run.to_upload for file in session.rglob("*") if file.is_file()]
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        rows.append([run.name, run.state, str(len(run.to_upload)), f"{megabytes:.1f}" if run.to_upload else "-"])
    table = make_table(("run", "state", "sessions", "MB"), rows, left=2)
    stdout_console().print(table if rows else "no offline W&B runs")


def upload_all(places: Sequence[Path], project: str | None = None, entity: str | None = None) -> None:
    """Upload all sessions that are not in W&B yet, to the run's own project and entity, or to these; a line for each.

    Raises:
        SRError: as of `find_offline`; not logged in; some runs were not uploaded.
    """
    console = stdout_console()
    found = find_offline(places)
    waiting = [run for run in found if run.state == "to upload"]
    for run in found:
        if run.state == "running":
            console.print(f"{run.name}  still running: sync it when it has ended", style="yellow", markup=False)
    if not waiting:
        there = sum(run.state == "uploaded" for run in found)
        console.print(f"nothing to upload{f': {there} in W&B already' if there else ''}", highlight=False)
        return
    failed = 0
    with job_progress(console) as progress:
        bar = progress.add_task("uploading", total=len(waiting))
        for run in waiting:
            progress.update(bar, parts=["uploading", run.name])

            def show(line: str, name: str = run.name) -> None:
                progress.update(bar, parts=["uploading", name, line])

            url, error = upload(run, project, entity, show)
            failed += bool(error)
            line = f"{run.name}  {f'failed: {error}' if error else url or 'uploaded'}"
            console.print(line, style="red" if error else "", markup=False, highlight=False, soft_wrap=True)
            progress.advance(bar)
    if failed:
        raise SRError(f"{failed} of {len(waiting)} runs were not uploaded: nothing is lost, sync them again")


def upload(run: OfflineRun, project: str | None, entity: str | None, on_line: Callable[[str], None]) -> tuple[str, str]:
    """Upload the sessions of a run, oldest first; `on_line` is called with each line that W&B prints.

    Return the address of the W&B run, empty if W&B did not print it; and why the upload failed, empty if it did not.
    An SRError if not logged in.
    """
    options = [*(("--project", project) if project else ()), *(("--entity", entity) if entity else ())]
    environment = {key: value for key, value in os.environ.items() if key not in NOT_FOR_SYNC}
    if not Path("wandb").exists():  # else W&B creates that folder here, for its logs
        environment["WANDB_DIR"] = str(run.folder)
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "wandb", "sync", *options, *map(str, run.to_upload)],
        env=environment,
        # Without it, W&B would ask for an API key and wait.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.strip())
                on_line(lines[-1].rsplit("] ", 1)[-1].removeprefix("wandb: "))
        # Ctrl-C too must not leave an upload running in the background.
        except BaseException:
            process.terminate()
            raise
    if all(map(_is_uploaded, run.to_upload)):
        urls = [url[0] for line in lines if (url := URL.search(line))]
        return urls[-1] if urls else "", ""
    errors = [match[1] for line in lines if (match := ERROR.match(line)) and "error logs at" not in line]
    if any(LOGIN.search(error) for error in errors) or (not errors and any(LOGIN.search(line) for line in lines)):
        raise SRError("not logged in to Weights & Biases: type wandb login once, or set WANDB_API_KEY, and sync again")
    return "", [*errors, *lines[-1:], f"wandb sync ended with exit code {process.returncode}"][0]


def _is_uploaded(session: Path) -> bool:
    """Return whether a session is in W&B completely: `wandb sync` then leaves a marker file in its folder."""
    return any(session.glob("*.wandb.synced"))
