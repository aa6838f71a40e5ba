"""`sr weights`: list and download the pretrained weights of perceptual losses and metrics."""

from typing import Annotated, Literal

import typer


def weights(
    action: Annotated[
        Literal["list", "get"],
        typer.Argument(help="List the weights, or download the missing ones.", show_default=True),
    ] = "list",
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Weights to download; by default the first choices of losses and metrics."
        ),
    ] = None,
) -> None:
    """List the pretrained weights that perceptual losses and metrics need; with get, download the missing ones."""
    from sr_experiments.pretrained.command import get, show

    if action == "get":
        get(names or [])
    else:
        show(names or [])
