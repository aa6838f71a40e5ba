"""`sr sync`: upload offline W&B runs."""

from pathlib import Path
from typing import Annotated

import typer


def sync(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN…]", help="Run folders, or folders of runs such as a sweep; by default outputs."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--list", help="List what would be uploaded and what already is.")
    ] = False,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="W&B project; by default the run's own.", show_default=False)
    ] = None,
    entity: Annotated[
        str | None,
        typer.Option("--entity", "-e", help="W&B user or team; by default the run's own.", show_default=False),
    ] = None,
) -> None:
    """Upload runs that were logged offline to Weights & Biases, each once; runs still in progress are skipped."""
    from sr_experiments.tracking.sync import list_offline, upload_all

    places = runs or [Path("outputs")]
    if dry_run:
        list_offline(places)
    else:
        upload_all(places, project, entity)
