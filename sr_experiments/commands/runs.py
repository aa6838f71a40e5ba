"""`sr runs`: the runs of a folder and where they stand."""

from pathlib import Path
from typing import Annotated

import typer


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder of runs.")] = Path("outputs"),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow them live, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks of --watch.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List runs: running, finished, failed or interrupted, how far, and the best metric.

    A run that neither ended nor wrote anything for ten minutes was killed, and counts as interrupted.
    """
    from sr_experiments.runs.listing import show_runs, watch_runs

    if watch:
        watch_runs(folder, every)
    else:
        show_runs(folder, as_json)
