"""`sr weights`: the trained weights of perceptual losses and metrics, listed and fetched."""

from typing import Annotated, Literal

import typer


def weights(
    action: Annotated[
        Literal["list", "get"], typer.Argument(help="List them, or get those that are not there.", show_default=True)
    ] = "list",
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Which to get; by default what losses and metrics use first."),
    ] = None,
) -> None:
    """List the trained weights that perceptual losses and metrics need; with get, fetch those that are not there."""
    from sr_experiments.pretrained.command import get, show

    if action == "get":
        get(names or [])
    else:
        show(names or [])
