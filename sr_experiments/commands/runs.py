"""`sr runs`: list the runs of a folder and their states."""

from pathlib import Path
from typing import Annotated

import typer


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder of runs.")] = Path("outputs"),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update the list until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two updates of --watch.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List runs: state, progress and best metric of each.

    A run that did not end but wrote nothing for ten minutes was killed, and counts as interrupted.
    """
    from sr_experiments.runs.listing import show_runs, watch_runs

    if watch:
        watch_runs(folder, every)
    else:
        show_runs(folder, as_json)
