"""`sr upscale`: super-resolve images and videos."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
AUTO = "auto: fp16 on a GPU, bf16 on a CPU with native bf16, otherwise fp32."
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(help=AUTO),
]
Tile = Annotated[int | None, typer.Option(help="Side of a tile in LR pixels; by default as large as memory allows.")]


def upscale(
    source: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="An image, a video, a folder, a glob pattern, or several files."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write.")],
    checkpoint: Annotated[
        list[Path],
        typer.Option(
            "--checkpoint",
            "-c",
            help="Run folder, outputs/<name> for its newest run, or a weights file in any common format. "
            "Give two checkpoints of one network to interpolate, see --strength.",
        ),
    ],
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16", "int8"],
        typer.Option(help=f"{AUTO} int8: fastest, CPU only; quantised once, unless written by sr quantize."),
    ] = "auto",
    runtime: Annotated[
        Literal["auto", "torch", "compile", "openvino"],
        typer.Option(help="auto: openvino on a CPU if installed, otherwise torch. compile: for long videos on a GPU."),
    ] = "auto",
    tile: Tile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    image_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="Output format for a folder of images: png, jpg, webp, bmp, tif; by default the input's."
        ),
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG and WebP.")] = 95,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted job.")] = False,
    codec: Annotated[
        str | None, typer.Option(help="Video encoder; by default chosen to match the input and the container.")
    ] = None,
    crf: Annotated[
        int | None, typer.Option(help="Video quality, lower is better; by default that of the encoder.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset of the video encoder: ultrafast ... veryslow.")] = None,
    pix_fmt: Annotated[
        str | None, typer.Option(help="Pixel format of the video; by default the closest to the input's.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of a video made from a folder of frames.")] = None,
    scene_cuts: Annotated[bool, typer.Option(help="Detect scene cuts, and reset recurrent networks there.")] = True,
    preview: Annotated[float, typer.Option(help="First write a side-by-side preview of this many seconds.")] = 0.0,
    steps: Annotated[int | None, typer.Option(min=1, max=1000, help="Euler steps of a flow (model=flow).")] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="0 (fidelity) to 1 (realism), for model=flow_distilled or between two checkpoints of one network.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of a flow's noise; by default 0.")
    ] = None,
) -> None:
    """Super-resolve an image, a folder of images, a video, or a folder of frames."""
    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.config.quoting import shell_text, sr_command
    from sr_experiments.inference.checks import check_checkpoints, check_video
    from sr_experiments.inference.options import Options

    given = [argument for argument in sys.argv[1:] if argument not in ("--overwrite", "--resume")]
    again = sr_command([*map(shell_text, given), "--resume"])
    options = Options(
        device=device, precision=precision, runtime=runtime, tile=tile, overwrite=overwrite, image_format=image_format,
        quality=quality, resume=resume, codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt, fps=fps,
        scene_cuts=scene_cuts, preview=preview, again=again, steps=steps, strength=strength, seed=seed,
    )  # fmt: skip
    checkpoint = [newest_run(path) for path in checkpoint]
    check_checkpoints(checkpoint, options)
    check_video(source, output, options)  # before torch is imported, which takes seconds
    from sr_experiments.inference.upscale import run

    raise typer.Exit(run(source, output, checkpoint, options))
