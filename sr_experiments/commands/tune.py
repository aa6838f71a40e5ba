"""`sr tune`: choose a network, a strength and a level of noise removal by looking at a few frames."""

from pathlib import Path
from typing import Annotated

import typer

from sr_experiments.commands.upscale import Device, Precision, Tile
from sr_experiments.inference.bounds import DENOISE, SCALE, STRENGTH


def tune(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="An image or a video.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Image to write, with one row per frame.")],
    checkpoint: Annotated[
        list[Path],
        typer.Option(
            "--checkpoint", "-c", help="Run folder, outputs/<name> for its newest run, or weights file; repeatable."
        ),
    ],
    strength: Annotated[
        list[float] | None,
        typer.Option(min=STRENGTH.least, max=STRENGTH.most, help="As in sr upscale; can be given several times."),
    ] = None,
    denoise: Annotated[
        list[float] | None,
        typer.Option(
            min=DENOISE.least,
            max=DENOISE.most,
            help="As in sr upscale; can be given several times.",
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(min=SCALE.least, max=SCALE.most, help="Upscaling factor, as in sr upscale.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, max=20, help="Number of evenly spaced video frames.")] = 3,
    crop: Annotated[int, typer.Option(min=16, help="Longer side of the centre crop shown, in pixels.")] = 384,
    html: Annotated[bool, typer.Option("--html", help="Also write a page with a slider between any two.")] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Upscale a few frames with several networks, strengths and denoising levels, and show them with their times."""
    from rich.console import Console

    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.display.logging_setup import log_to_console
    from sr_experiments.display.terminal import readable_seconds
    from sr_experiments.errors import SRError
    from sr_experiments.inference.options import Options
    from sr_experiments.inference.tune import tune as run

    if source.expanduser().is_dir():
        raise SRError(f"{source} is a folder: give an image or a video")
    if not source.expanduser().is_file():
        raise SRError(f"no file {source}: give an image or a video")
    log_to_console(Console(stderr=True))
    options = Options(
        device=device, precision=precision, tile=tile, overwrite=overwrite, scale=scale, html=html, quality=95
    )
    checkpoint = [newest_run(path) for path in checkpoint]
    settings = run(
        source.expanduser(), output.expanduser(), checkpoint, strength or [], denoise or [], frames, crop, options
    )
    for setting in settings:
        typer.echo(
            f"{setting.label}: {setting.seconds:.2f} s a frame, {readable_seconds(setting.whole)} in all: "
            f"{setting.command}"
        )
    page = f" and {output.with_suffix('.html')}" if html else ""
    typer.echo(f"wrote {output}{page}")
