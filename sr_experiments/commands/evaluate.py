"""`sr evaluate`: measure networks, and pictures that others made."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sr_experiments.commands.upscale import Precision


class Degradation(str, Enum):
    """How LR is made from HR."""

    auto = "auto"
    bicubic = "bicubic"
    blur_down = "blur_down"


def evaluate(
    hr: Annotated[Path, typer.Option("--hr", help="Folder of the true images or clips, or a video.")],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", "-c", help="A run folder, or a file of weights; several are compared."),
    ] = None,
    sr: Annotated[
        list[Path] | None, typer.Option("--sr", help="Folder of finished images or clips, or a video; also several.")
    ] = None,
    lr: Annotated[Path | None, typer.Option("--lr", help="Folder of LR; by default it is made from HR.")] = None,
    degradation: Annotated[
        Degradation,
        typer.Option(help="How LR is made, or how that of --lr was; auto: what the networks are for, else bicubic."),
    ] = Degradation.auto,
    scale: Annotated[int | None, typer.Option(min=1, help="Of --sr, where --lr doesn't tell.")] = None,
    crop: Annotated[
        int | None, typer.Option(min=0, help="Pixels cut from each side; by default the scale.", show_default=False)
    ] = None,
    clips: Annotated[
        bool | None,
        typer.Option(
            "--clips/--images",
            help="What --hr holds; by default clips if it is made of folders or videos, or a network asks for them.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A further metric: the name of a file in conf/metrics; also several."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many images or clips, from the first.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Only so many frames of each clip.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto: fp16 on a GPU; bf16 on a CPU that computes in it, else fp32.")
    ] = Precision.fp32,
    tile: Annotated[int | None, typer.Option(help="Tile side in LR pixels; by default what memory allows.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for everything that was measured.")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="File for all values: model, image, metric, value.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for the SR pictures, as PNG.")] = None,
) -> None:
    """Measure networks, or finished images and videos, against the truth, beside bicubic."""
    from sr_experiments.evaluation.command import run
    from sr_experiments.evaluation.evaluate import Request

    request = Request(
        hr=hr,
        checkpoints=checkpoint or (),
        sr=sr or (),
        lr=lr,
        degradation=degradation.value,
        scale=scale,
        crop=crop,
        clips=clips,
        metrics=metric or (),
        limit=limit,
        frames=frames,
        device=device,
        precision=precision.value,
        tile=tile,
        save=save,
    )
    run(request, json_file, csv_file)
