"""Commands that use a network: `sr upscale`, `sr evaluate` and `sr export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(help="auto: fp16 on a GPU; bf16 on a CPU that computes in it, else fp32."),
]
Tile = Annotated[int | None, typer.Option(help="Side of a tile in LR pixels; by default what memory allows.")]


def upscale(
    source: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="An image, a video, a folder, a glob, or several files.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write.")],
    checkpoint: Annotated[
        Path, typer.Option("--checkpoint", "-c", help="Run folder, or file of weights in any of the usual formats.")
    ],
    device: Device = "auto",
    precision: Precision = "auto",
    runtime: Annotated[
        Literal["auto", "torch", "compile", "openvino"],
        typer.Option(
            help="auto: openvino on a CPU where it is installed, else torch. compile: for long videos on a GPU."
        ),
    ] = "auto",
    tile: Tile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    image_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="Format of images in a folder: png, jpg, webp, bmp, tif; by default the input's."
        ),
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG and WebP.")] = 95,
    resume: Annotated[bool, typer.Option("--resume", help="Resume interrupted work.")] = False,
    codec: Annotated[str, typer.Option(help="Video encoder.")] = "libx264",
    crf: Annotated[int | None, typer.Option(help="Video quality, lower is better; by default the encoder's.")] = None,
    preset: Annotated[str | None, typer.Option(help="Video encoder's preset: ultrafast ... veryslow.")] = None,
    pix_fmt: Annotated[
        str | None, typer.Option(help="Video pixel format; by default the closest to the input's.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of a video made from a folder of frames.")] = None,
    scene_cuts: Annotated[bool, typer.Option(help="Detect scene cuts, and reset recurrent networks there.")] = True,
    preview: Annotated[float, typer.Option(help="Seconds of video to write side by side first, as a preview.")] = 0.0,
) -> None:
    """Super-resolve an image, a folder of images, a video, or a folder of frames."""
    from sr_experiments.inference.options import Options
    from sr_experiments.inference.upscale import run

    options = Options(
        device=device, precision=precision, runtime=runtime, tile=tile, overwrite=overwrite, image_format=image_format,
        quality=quality, resume=resume, codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt, fps=fps,
        scene_cuts=scene_cuts, preview=preview,
    )  # fmt: skip
    raise typer.Exit(run(source, output, checkpoint, options))


def evaluate(
    hr: Annotated[Path, typer.Option("--hr", help="Folder of ground-truth images or clips, or a video.")],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", "-c", help="Run folder, or file of weights; repeat it to compare several."),
    ] = None,
    sr: Annotated[
        list[Path] | None,
        typer.Option("--sr", help="SR made elsewhere: a folder of images or clips, or a video."),
    ] = None,
    lr: Annotated[Path | None, typer.Option("--lr", help="Folder of LR; by default LR is made from HR.")] = None,
    degradation: Annotated[
        Literal["auto", "bicubic", "blur_down"],
        typer.Option(help="How LR is made, or how --lr was made; auto: as the networks were trained, else bicubic."),
    ] = "auto",
    scale: Annotated[int | None, typer.Option(min=1, help="Scale of --sr, where --lr doesn't tell.")] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=0, help="Border to cut, in pixels; by default the scale.", show_default=False),
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
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all results.")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="File for all values, with columns model, image, metric, value.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for the SR images, as PNG.")] = None,
) -> None:
    """Measure networks, or SR images and videos made elsewhere, against the ground truth, beside bicubic."""
    from sr_experiments.evaluation.command import run
    from sr_experiments.evaluation.evaluate import Request

    request = Request(
        hr=hr, checkpoints=checkpoint or (), sr=sr or (), lr=lr, degradation=degradation, scale=scale, crop=crop,
        clips=clips, metrics=metric or (), limit=limit, frames=frames, device=device, precision=precision, tile=tile,
        save=save,
    )  # fmt: skip
    run(request, json_file, csv_file)


Format = Literal["safetensors", "pth", "onnx", "exported_program", "torchscript"]


def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CKPT", help="Run folder, or file of weights in any of the usual formats.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File: .safetensors, .pth, .onnx, .pt2 (torch.export), .ts.")
    ],
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="By default that of the file's extension.", show_default=False),
    ] = None,
    half: Annotated[bool, typer.Option("--fp16", help="Write weights in half precision.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    card: Annotated[
        bool, typer.Option("--card", help="Write a model card beside the file: .md, .json and a picture.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Network's name; by default the file's.", show_default=False)] = None,
    author: Annotated[str, typer.Option(help="Author on the card.")] = "",
    licence: Annotated[str, typer.Option("--license", help="License on the card, such as CC-BY-4.0.")] = "",
    description: Annotated[str, typer.Option(help="Description on the card.")] = "",
) -> None:
    """Write a network as safetensors, BasicSR's .pth, ONNX or a torch program, compared with the original."""
    from rich.console import Console

    from sr_experiments.export.card import Words, check_places, write_card
    from sr_experiments.export.export import export as write
    from sr_experiments.export.runnable import SIZES

    if card:
        check_places(output, checkpoint, overwrite)
    done = write(checkpoint, output, kind, half, overwrite, name or "")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    differences = ", ".join(f"{value:.2g} in {runtime}" for runtime, value in done.differences.items())
    size = done.file.stat().st_size / 2**20
    console.print(
        f"{done.file}: {done.kind}{', weights halved to fp16' if half else ''}, {size:.1f} MiB, of {done.source}"
    )
    sizes = ", ".join("x".join(map(str, size)) for size in SIZES)
    console.print(f"largest difference to the original, values in [0, 1]: {differences}; on batches of {sizes}")
    if card:
        for path in write_card(done, checkpoint, Words(name or output.stem, author, licence, description)):
            console.print(str(path))
