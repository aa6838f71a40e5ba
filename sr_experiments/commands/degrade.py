"""`sr degrade`: see what a degradation makes of a picture, before training on it."""

from pathlib import Path
from typing import Annotated

import typer


def degrade(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A sharp image.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: HR and several LR.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Of the configuration: usm=false 'stages.3.quality=[10, 30]'"),
    ] = None,
    config: Annotated[
        str, typer.Option(help="A degradation of conf/degradation by name, or a YAML file.")
    ] = "real_esrgan",
    scale: Annotated[int, typer.Option(min=1, max=16, help="Downsampling factor.")] = 4,
    count: Annotated[int, typer.Option(min=1, max=64, help="How many LR.")] = 8,
    crop: Annotated[int, typer.Option(min=16, help="Side of the middle of the image that is shown.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
) -> None:
    """Degrade an image several times, and show the results beside it, with what was drawn."""
    from sr_experiments.data.preview import preview

    preview(source, output, config, overrides or [], scale, count, crop, seed)
    typer.echo(f"wrote {output}")
