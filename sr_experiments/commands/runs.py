"""`sr runs`: list the runs of a folder and their states."""

from pathlib import Path
from typing import Annotated

import typer


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder of runs.")] = Path("outputs"),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update the list until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between updates of --watch.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List runs with their state, progress and best metric.

    A run that has not ended but has written nothing for ten minutes was killed, and is listed as interrupted.
    """
    from sr_experiments.runs.listing import show_runs, watch_runs

    if watch:
        watch_runs(folder, every)
    else:
        show_runs(folder, as_json)
