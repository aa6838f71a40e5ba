"""`sr evaluate`: measure networks, and images or videos that other programs made."""

from pathlib import Path
from typing import Annotated

import typer

from sr_experiments.commands.upscale import Device, Precision, Tile


def evaluate(
    hr: Annotated[Path, typer.Option("--hr", help="Folder of ground-truth images or clips, or a video.")],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            "-c",
            help="Run folder, or outputs/<name> for its newest run, or file of weights; repeat it to compare several.",
        ),
    ] = None,
    sr: Annotated[
        list[Path] | None,
        typer.Option("--sr", help="SR made elsewhere: a folder of images or clips, or a video."),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(help="What names in --sr have after those in --hr, as in _out; by default it is found."),
    ] = None,
    lr: Annotated[Path | None, typer.Option("--lr", help="Folder of LR; by default LR is made from HR.")] = None,
    degradation: Annotated[
        str,
        typer.Option(
            help="How LR is made, or how --lr was made: a name in conf/degradation or a YAML file; auto: bicubic, or "
            "blur_down for networks that were trained with it."
        ),
    ] = "auto",
    scale: Annotated[int | None, typer.Option(min=1, help="Scale of --sr, where --lr doesn't tell.")] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=0, help="Border to cut, in pixels; by default the scale; none at scale 1.", show_default=False
        ),
    ] = None,
    clips: Annotated[
        bool | None,
        typer.Option(
            "--clips/--images",
            help="Content of --hr; by default clips if it has folders or videos, or if a network needs them.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A further metric: the name of a file in conf/metrics; also several."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of images or clips, from the first.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Largest number of frames of each clip.")] = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    tile: Tile = None,
    steps: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1000, help="Euler steps of a flow (model=flow); repeat it for a column of each."),
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Strength of model=flow_distilled, 0 to 1; repeat it for a column of each."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of a flow's noise; by default 0.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all results.")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="File for all values, with columns model, image, metric, value.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for the SR images, as PNG.")] = None,
) -> None:
    """Measure networks, or SR images and videos made elsewhere, against the ground truth.

    They stand beside bicubic enlargement, at scale 1 beside the input.
    """
    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.evaluation.command import run
    from sr_experiments.evaluation.evaluate import Request

    checkpoints = [newest_run(path) for path in checkpoint or ()]
    request = Request(
        hr=hr, checkpoints=checkpoints, sr=sr or (), suffix=suffix, lr=lr, degradation=degradation, scale=scale,
        crop=crop, clips=clips, metrics=metric or (), limit=limit, frames=frames, device=device, precision=precision,
        tile=tile, save=save,
        sampling={"steps": steps or (), "strength": strength or (), "seed": () if seed is None else (seed,)},
    )  # fmt: skip
    run(request, json_file, csv_file)
