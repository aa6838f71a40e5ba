"""`sr quantize`: write a network in int8, for fast inference on a CPU."""

from pathlib import Path
from typing import Annotated

import typer


def quantize(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CKPT",
            help="Run folder, outputs/<name> for its newest run, or a weights file in any common format.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .safetensors.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of HR images for calibration and measurement; by default the run's validation images, or "
            "packaged photographs.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=8, help="Number of calibration crops, of 64 LR pixels.")] = 64,
    max_drop: Annotated[float, typer.Option(min=0.0, help="Largest acceptable loss of PSNR (Y), in dB.")] = 0.05,
    fidelity: Annotated[
        float, typer.Option(min=0.0, help="Smallest acceptable PSNR to the fp32 output, in dB.")
    ] = 45.0,
    train: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="First fine-tune for int8 for this many steps, in a separate run with the run's data and losses.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Quantise a network to int8 and measure it; layers that cost more than they gain stay in higher precision."""
    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.quantization.command import run

    run(newest_run(checkpoint), output, data, images, max_drop, fidelity, overwrite, train)
