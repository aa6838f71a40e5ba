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
            help="Run folder, outputs/<name> for its newest run, or a weights file; repeat to compare several.",
        ),
    ] = None,
    sr: Annotated[
        list[Path] | None,
        typer.Option("--sr", help="SR produced by other programs: a folder of images or clips, or a video."),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(help="Suffix of file names in --sr compared with --hr, such as _out; by default detected."),
    ] = None,
    lr: Annotated[Path | None, typer.Option("--lr", help="Folder of LR; by default generated from HR.")] = None,
    degradation: Annotated[
        str,
        typer.Option(
            help="How LR is generated, or how --lr was: a name in conf/degradation or a YAML file. auto: bicubic, or "
            "blur_down for networks trained with it."
        ),
    ] = "auto",
    scale: Annotated[int | None, typer.Option(min=1, help="Scale of --sr, if it can't be inferred from --lr.")] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=0, help="Border to crop, in pixels; by default the scale, or none at scale 1.", show_default=False
        ),
    ] = None,
    clips: Annotated[
        bool | None,
        typer.Option(
            "--clips/--images",
            help="What --hr contains; by default clips if it has folders or videos, or if a network needs them.",
        ),
    ] = None,
    bits: Annotated[
        str,
        typer.Option(
            help="Depth at which HR, LR and SR are compared: 8, 16, float, or auto for that of --hr, as far as the "
            "networks take it."
        ),
    ] = "auto",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", help="Additional metric: the name of a file in conf/metrics, or pyiqa:NAME; can be repeated."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use only the first images or clips, up to this many.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Use only the first frames of each clip, up to this many.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    tile: Tile = None,
    steps: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1000, help="Euler steps of a flow (model=flow); repeat for one column each."),
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Strength of model=flow_distilled, 0 to 1; repeat for one column each."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of a flow's noise; by default 0.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File to write all results to.")] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="File to write all values to, with columns model, image, metric, value."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder to save the SR images in, as PNG.")] = None,
) -> None:
    """Evaluate networks, or SR images and videos produced by other programs, against the ground truth.

    Results are shown next to bicubic upscaling; at scale 1, next to the input.
    """
    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.data.depth import read_bits
    from sr_experiments.evaluation.command import run
    from sr_experiments.evaluation.evaluate import Request

    checkpoints = [newest_run(path) for path in checkpoint or ()]
    request = Request(
        hr=hr, checkpoints=checkpoints, sr=sr or (), suffix=suffix, lr=lr, degradation=degradation, scale=scale,
        crop=crop, clips=clips, bits=read_bits(bits), metrics=metric or (), limit=limit,
        frames=frames, device=device, precision=precision,
        tile=tile, save=save,
        sampling={"steps": steps or (), "strength": strength or (), "seed": () if seed is None else (seed,)},
    )  # fmt: skip
    run(request, json_file, csv_file)
