"""`sr tune`: choose a network and a strength by looking at a few frames."""

from pathlib import Path
from typing import Annotated

import typer

from sr_experiments.commands.upscale import Device, Precision, Tile


def tune(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="An image or a video.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: a row for each frame.")],
    checkpoint: Annotated[
        list[Path],
        typer.Option(
            "--checkpoint",
            "-c",
            help="Run folder, or outputs/<name> for its newest run, or file of weights; repeat it.",
        ),
    ],
    strength: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="As of sr upscale; repeat it to try several with each network."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(min=0.001, max=1000, help="Factor to the input, as of sr upscale.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, max=20, help="Frames of a video to show, evenly spread.")] = 3,
    crop: Annotated[int, typer.Option(min=16, help="Longest side of what is shown, from the middle.")] = 384,
    html: Annotated[bool, typer.Option("--html", help="Also a page with a slider between any two.")] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Upscale a few frames with several networks and strengths: a sheet of them, and how long each would take."""
    from rich.console import Console

    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.errors import SRError
    from sr_experiments.inference.options import Options
    from sr_experiments.inference.tune import tune as run
    from sr_experiments.logging_setup import log_to_console
    from sr_experiments.terminal import readable_seconds

    if source.expanduser().is_dir():
        raise SRError(f"{source} is a folder: give an image or a video")
    if not source.expanduser().is_file():
        raise SRError(f"no file {source}: give an image or a video")
    log_to_console(Console(stderr=True))
    options = Options(
        device=device, precision=precision, tile=tile, overwrite=overwrite, scale=scale, html=html, quality=95
    )
    checkpoint = [newest_run(path) for path in checkpoint]
    settings = run(source.expanduser(), output.expanduser(), checkpoint, strength or [], frames, crop, options)
    for setting in settings:
        typer.echo(
            f"{setting.label}: {setting.seconds:.2f} s a frame, {readable_seconds(setting.whole)} in all: "
            f"{setting.command}"
        )
    page = f" and {output.with_suffix('.html')}" if html else ""
    typer.echo(f"wrote {output}{page}")
