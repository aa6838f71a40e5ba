"""`sr upscale`: super-resolve images and videos."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sr_experiments.inference.bounds import DENOISE, LONGEST_SIDE, SCALE, STRENGTH

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
AUTO = "auto: fp16 on a GPU, bf16 on a CPU with native bf16, otherwise, and for data.bits=float, fp32."
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(help=AUTO),
]
NETWORK, SIZE, IMAGES, VIDEOS = "The network", "The size", "Images", "Videos"  # headings of the help
Denoise = Annotated[
    float,
    typer.Option(
        min=DENOISE.least,
        max=DENOISE.most,
        help="Noise to remove before upscaling: its standard deviation in levels of 255; 3 is light, 15 strong.",
    ),
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
            help="Run folder, outputs/<name> for its newest run, or a weights file in any common format. Several make "
            "a labelled sheet of each image; two with --strength are interpolated.",
            rich_help_panel=NETWORK,
        ),
    ],
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16", "int8"],
        typer.Option(
            help=f"{AUTO} int8: fastest, CPU only; quantised once, unless written by sr quantize.",
            rich_help_panel=NETWORK,
        ),
    ] = "auto",
    runtime: Annotated[
        Literal["auto", "torch", "compile", "openvino"],
        typer.Option(
            help="auto: openvino on a CPU if installed, otherwise torch. compile: for long videos on a GPU.",
            rich_help_panel=NETWORK,
        ),
    ] = "auto",
    tile: Tile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    image_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Output format for a folder of images: png, jpg, webp, avif, heic, jxl, bmp, tif, exr; by default the "
            "input's.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    quality: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            help="Quality of JPEG, WebP, HEIC, AVIF and JPEG XL; images of the last two are lossless at 100.",
            rich_help_panel=IMAGES,
        ),
    ] = 95,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted job.")] = False,
    html: Annotated[
        bool,
        typer.Option("--html", help="Write a sheet and a page with a slider between any two.", rich_help_panel=IMAGES),
    ] = False,
    codec: Annotated[
        str | None,
        typer.Option(
            help="h264, hevc, av1, vp9, ffv1, prores, or the name of an FFmpeg encoder; by default chosen to match the "
            "input and the container.",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(help="Video quality, lower is better; by default that of the encoder.", rich_help_panel=VIDEOS),
    ] = None,
    lossless: Annotated[
        bool,
        typer.Option("--lossless", help="Lossless encoding, of images and of videos in the output's pixel format."),
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help="Preset of the video encoder: ultrafast ... veryslow.", rich_help_panel=VIDEOS)
    ] = None,
    pix_fmt: Annotated[
        str | None,
        typer.Option(help="Pixel format of the video; by default the closest to the input's.", rich_help_panel=VIDEOS),
    ] = None,
    tonemap: Annotated[
        bool,
        typer.Option("--tonemap", help="Convert HDR (PQ, HLG) to SDR (BT.709, of images sRGB), as of BT.2390."),
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1000,
            help="Frame rate of a video made from a folder of frames.",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    scene_cuts: Annotated[
        bool, typer.Option(help="Detect scene cuts, and reset recurrent networks there.", rich_help_panel=VIDEOS)
    ] = True,
    start: Annotated[
        str | None,
        typer.Option(
            help="Start of the part of a video to upscale, with its audio, in seconds or as HH:MM:SS.mmm.",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option(help="End of the part, in the same format.", rich_help_panel=VIDEOS)
    ] = None,
    preview: Annotated[
        float,
        typer.Option(min=0, help="First write a side-by-side preview of this many seconds.", rich_help_panel=VIDEOS),
    ] = 0.0,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Euler steps of a flow (model=flow).", rich_help_panel=NETWORK)
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            min=STRENGTH.least,
            max=STRENGTH.most,
            help="0 (bicubic) to 1 (the network); with two checkpoints of one network, 0 (the first) to 1 (the "
            "second); with model=flow_distilled, 0 (fidelity) to 1 (realism).",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    denoise: Denoise = 0.0,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**32 - 1, help="Seed of a flow's noise; by default 0.", rich_help_panel=NETWORK),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            min=SCALE.least,
            max=SCALE.most,
            help="Upscaling factor, such as 1.5 or 6; by default that of the network.",
            rich_help_panel=SIZE,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LONGEST_SIDE,
            help="Width of the output; with --height, the box to fit it into.",
            rich_help_panel=SIZE,
        ),
    ] = None,
    height: Annotated[
        int | None, typer.Option(min=1, max=LONGEST_SIDE, help="Height of the output.", rich_help_panel=SIZE)
    ] = None,
    longest: Annotated[
        int | None, typer.Option(min=1, max=LONGEST_SIDE, help="Longer side of the output.", rich_help_panel=SIZE)
    ] = None,
) -> None:
    """Super-resolve an image, a video, an animation, or a folder of images or frames."""
    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.config.quoting import shell_text, sr_command
    from sr_experiments.inference.checks import check_checkpoints, check_size, check_video
    from sr_experiments.inference.options import Options
    from sr_experiments.video.formats import CODECS
    from sr_experiments.video.part import read_time

    codec = CODECS.get(codec or "", codec)
    given = [argument for argument in sys.argv[1:] if argument not in ("--overwrite", "--resume")]
    again = sr_command([*map(shell_text, given), "--resume"])
    options = Options(
        device=device, precision=precision, runtime=runtime, tile=tile, overwrite=overwrite, image_format=image_format,
        quality=quality, resume=resume, codec=codec, lossless=lossless, crf=crf, preset=preset, pix_fmt=pix_fmt,
        fps=fps, scene_cuts=scene_cuts, preview=preview, again=again, steps=steps, strength=strength, seed=seed,
        scale=scale, width=width, height=height, longest=longest, html=html, tonemap=tonemap, denoise=denoise,
        start=read_time(start, "--start") if start else None, end=read_time(end, "--end") if end else None,
    )  # fmt: skip
    checkpoint = [newest_run(path) for path in checkpoint]
    check_checkpoints(checkpoint, options)
    check_size(options)
    check_video(source, output, options)  # before torch is imported, which takes seconds
    from sr_experiments.inference.upscale import run

    raise typer.Exit(run(source, output, checkpoint, options))
