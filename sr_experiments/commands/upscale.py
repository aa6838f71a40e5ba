"""`sr upscale`: super-resolve images and videos."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Precision(str, Enum):
    """Of the network's convolutions."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Runtime(str, Enum):
    """What runs the network."""

    auto = "auto"
    torch = "torch"
    compile = "compile"
    openvino = "openvino"


def upscale(
    source: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="An image, a video, a folder, a glob, or several files.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write.")],
    checkpoint: Annotated[
        Path, typer.Option("--checkpoint", "-c", help="A run folder, or a file of weights in any of the usual formats.")
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto: fp16 on a GPU; bf16 on a CPU that computes in it, else fp32.")
    ] = Precision.auto,
    runtime: Annotated[
        Runtime,
        typer.Option(
            help="auto: openvino on a CPU where it is installed, else torch. compile: for long videos on a GPU."
        ),
    ] = Runtime.auto,
    tile: Annotated[int | None, typer.Option(help="Tile side in LR pixels; by default what memory allows.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    image_format: Annotated[
        str | None, typer.Option("--format", help="Of images in a folder: png, jpg, webp, bmp, tif; else the input's.")
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with interrupted work.")] = False,
    codec: Annotated[str, typer.Option(help="Video encoder.")] = "libx264",
    crf: Annotated[int | None, typer.Option(help="Video quality, smaller is better; by default the encoder's.")] = None,
    preset: Annotated[str | None, typer.Option(help="Video encoder's preset: ultrafast ... veryslow.")] = None,
    pix_fmt: Annotated[
        str | None, typer.Option(help="Video pixel format; by default as near the input's as can be.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of a video made from a folder of frames.")] = None,
    scene_cuts: Annotated[bool, typer.Option(help="Look for cuts, and begin anew there (recurrent networks).")] = True,
    preview: Annotated[float, typer.Option(help="First write a side-by-side of so many seconds of video.")] = 0.0,
) -> None:
    """Super-resolve an image, a folder of images, a video, or a folder of frames."""
    from sr_experiments.inference.options import Options
    from sr_experiments.inference.upscale import run

    options = Options(
        device=device,
        precision=precision.value,
        runtime=runtime.value,
        tile=tile,
        overwrite=overwrite,
        image_format=image_format,
        quality=quality,
        resume=resume,
        codec=codec,
        crf=crf,
        preset=preset,
        pix_fmt=pix_fmt,
        fps=fps,
        scene_cuts=scene_cuts,
        preview=preview,
    )
    raise typer.Exit(run(source, output, checkpoint, options))
