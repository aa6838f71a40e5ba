"""`sr sync`: upload offline W&B runs."""

from pathlib import Path
from typing import Annotated

import typer


def sync(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN…]", help="Run folders, or folders of runs: a sweep; by default outputs."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--list", help="Say what would be uploaded, and what is already.")
    ] = False,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="W&B project, if not that of the run.", show_default=False)
    ] = None,
    entity: Annotated[
        str | None,
        typer.Option("--entity", "-e", help="W&B user or team, if not that of the run.", show_default=False),
    ] = None,
) -> None:
    """Upload to Weights & Biases what runs have logged offline; each once, and none that is still running."""
    from sr_experiments.tracking.sync import list_offline, upload_all

    places = runs or [Path("outputs")]
    if dry_run:
        list_offline(places)
    else:
        upload_all(places, project, entity)
