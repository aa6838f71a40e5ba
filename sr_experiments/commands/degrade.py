"""`sr degrade`: preview a degradation on an image, before training on it."""

from pathlib import Path
from typing import Annotated

import typer


def degrade(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A sharp image.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Image to write: HR and several LR versions.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings of the degradation: usm=false 'stages.3.quality=[10, 30]'"
        ),
    ] = None,
    config: Annotated[
        str, typer.Option(help="Name of a degradation in conf/degradation, or a YAML file.")
    ] = "real_esrgan",
    scale: Annotated[int, typer.Option(min=1, max=16, help="Downsampling factor.")] = 4,
    count: Annotated[int, typer.Option(min=1, max=64, help="Number of LR images.")] = 8,
    crop: Annotated[int, typer.Option(min=16, help="Side of the centre crop shown, in HR pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    """Degrade an image several times, and show the results next to it with the sampled parameters."""
    from rich.console import Console

    from sr_experiments.data.preview import preview
    from sr_experiments.display.logging_setup import log_to_console

    log_to_console(Console(stderr=True))
    preview(source, output, config, overrides or [], scale, count, crop, seed)
    typer.echo(f"wrote {output}")
