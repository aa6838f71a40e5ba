"""`sr interpolate`: average the weights of two networks."""

from pathlib import Path
from typing import Annotated

import typer


def interpolate(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="Run folder, outputs/<name> for its newest run, or a weights file.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one of the same network, fine-tuned from A.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .pth, .safetensors, or another format of sr export.")
    ],
    weight: Annotated[float, typer.Option("--weight", "-w", help="0 gives A, 1 gives B.")] = 0.5,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Average two networks, such as a pixel run and its GAN, or to set the denoising strength of realesr-general."""
    from rich.console import Console

    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.export.interpolate import interpolate as write

    done = write(newest_run(first), newest_run(second), weight, output, overwrite)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{done.file}: {done.source}")
