"""`sr app`: a local page on which images and videos are upscaled."""

from pathlib import Path
from typing import Annotated

import typer

from sr_experiments.commands.upscale import Device, Precision, Tile


def app(
    checkpoints: Annotated[Path, typer.Option(help="Folder with the runs or weights files to choose from.")] = Path(
        "outputs"
    ),
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    max_mb: Annotated[int, typer.Option(min=1, help="Maximum size of a file, in MB.")] = 2000,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: any free port.")] = 0,
) -> None:
    """Open a page on this machine to upscale images and videos with trained networks.

    The page can only be reached from this machine and sends nothing elsewhere. Files and results are removed on exit.
    """
    from sr_experiments.app.site import serve_app

    serve_app(checkpoints, {"device": device, "precision": precision, "tile": tile}, max_mb, port)
