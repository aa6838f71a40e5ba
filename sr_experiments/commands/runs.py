"""Commands about run folders: `sr compare`, `sr runs` and `sr sync`."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders, or folders of runs: a sweep.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    table: Annotated[bool, typer.Option("--table", help="Print the table here instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON instead.")] = False,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--evaluation", "-e", help="File of sr evaluate --json, to compare image by image."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Number of validation crops to show.")] = 8,
    max_mb: Annotated[int, typer.Option(min=0, help="Largest size of pictures and clips in the page, in MB.")] = 60,
) -> None:
    """Compare runs: settings that differ, metrics, curves and pictures side by side."""
    from sr_experiments.report.command import print_json, print_table, write_page

    if as_json:
        print_json(runs)
    elif table:
        print_table(runs)
    else:
        write_page(runs, output, evaluation or [], pictures, max_mb)


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


def sync(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN…]", help="Run folders, or folders of runs: a sweep; by default outputs."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--list", help="List what would be uploaded, and what is uploaded.")
    ] = False,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="W&B project; by default the run's own.", show_default=False)
    ] = None,
    entity: Annotated[
        str | None,
        typer.Option("--entity", "-e", help="W&B user or team; by default the run's own.", show_default=False),
    ] = None,
) -> None:
    """Upload runs that were logged offline to Weights & Biases: each once, and none that is still running."""
    from sr_experiments.tracking.sync import list_offline, upload_all

    places = runs or [Path("outputs")]
    if dry_run:
        list_offline(places)
    else:
        upload_all(places, project, entity)
