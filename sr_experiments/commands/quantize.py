"""`sr quantize`: write a network in int8, for fast inference on a CPU."""

from pathlib import Path
from typing import Annotated

import typer


def quantize(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CKPT",
            help="Run folder, or outputs/<name> for its newest run, or file of weights in any of the usual formats.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .safetensors.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of HR images to calibrate and measure with; by default the run's validation images, or "
            "packaged photographs.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=8, help="Number of calibration pictures: crops of 64 LR pixels.")] = 64,
    max_drop: Annotated[float, typer.Option(min=0.0, help="Largest loss of PSNR (Y), in dB.")] = 0.05,
    fidelity: Annotated[float, typer.Option(min=0.0, help="Least PSNR to the output in fp32, in dB.")] = 45.0,
    train: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Fine-tune for int8 first, for so many steps: in a run of its own, with the run's data and losses.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Quantise a network to int8, measured; layers that cost more than they give stay in higher precision."""
    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.quantization.command import run

    run(newest_run(checkpoint), output, data, images, max_drop, fidelity, overwrite, train)
