"""`sr export`: write a trained network for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Precision = Literal["fp32", "fp16", "int8"]
Format = Literal["safetensors", "pth", "onnx", "exported_program", "torchscript", "ncnn"]


def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CKPT",
            help="Run folder, outputs/<name> for its newest run, or a weights file in any common format.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .safetensors, .pth, .onnx, .pt2 (torch.export), .ts; without extension, .param and "
            ".bin for ncnn.",
        ),
    ],
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="Output format; by default that of the file extension.", show_default=False),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="fp32 (default); fp16 for weights, ONNX and ncnn; int8 for ONNX, quantised as by sr quantize if the "
            "network isn't in int8 yet.",
            show_default=False,
        ),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(min=1, help="ONNX opset; by default the one torch recommends.", show_default=False)
    ] = None,
    input_name: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of the ONNX input, by default lr; repeat for each input of a video network.", show_default=False
        ),
    ] = None,
    output_name: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of the ONNX output, by default sr; repeat for each output of a video network.",
            show_default=False,
        ),
    ] = None,
    fp16_images: Annotated[
        bool, typer.Option("--fp16-images", help="Inputs and outputs of ONNX in fp16 are fp16 instead of fp32.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    card: Annotated[bool, typer.Option("--card", help="Also write a model card: .md, .json and an image.")] = False,
    hub: Annotated[
        bool,
        typer.Option(
            "--hub", help="Write a folder for the Hugging Face Hub: README.md, config.json, model.safetensors."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the network; by default the file name.", show_default=False)
    ] = None,
    author: Annotated[str, typer.Option(help="Author, for the card.")] = "",
    licence: Annotated[str, typer.Option("--license", help="License, for the card, such as CC-BY-4.0.")] = "",
    description: Annotated[str, typer.Option(help="Description, for the card.")] = "",
) -> None:
    """Export a network to safetensors, BasicSR's .pth, ONNX, ncnn or a torch program, and verify it."""
    from rich.console import Console

    from sr_experiments.checkpoints.places import newest_run
    from sr_experiments.display.logging_setup import log_to_console
    from sr_experiments.errors import SRError
    from sr_experiments.export.card import check_places, write_card
    from sr_experiments.export.export import export as write
    from sr_experiments.export.hub import export_folder
    from sr_experiments.export.programs import OnnxOptions

    checkpoint = newest_run(checkpoint)
    of_file = output.name if hub else output.stem
    words = {"name": name or of_file, "author": author, "license": licence, "description": description}
    options = OnnxOptions(opset, tuple(input_name or ()), tuple(output_name or ()), fp16_images)
    if hub and (card or kind or options != OnnxOptions()):
        raise SRError("--hub writes safetensors and a card of its own: leave --format, --card and options of ONNX out")
    if card:
        check_places(output, checkpoint, overwrite)
    log_to_console(Console(stderr=True))
    beside: list[Path] = []
    if hub:
        done, beside = export_folder(checkpoint, output, precision, overwrite, words)
    else:
        done = write(checkpoint, output, kind, precision, overwrite, name or "", options)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    differences = ", ".join(f"{value:.2g} in {runtime}" for runtime, value in done.differences.items())
    size = sum(file.stat().st_size for file in done.files) / 2**20
    console.print(
        f"{' and '.join(map(str, done.files))}: {done.kind}, {done.precision}, {size:.1f} MiB, of {done.source}"
    )
    sizes = ", ".join("x".join(map(str, size)) for size in done.sizes)
    console.print(f"largest difference to the original, values in [0, 1]: {differences}; on batches of {sizes}")
    if done.advice:
        console.print(done.advice)
    for path in write_card(done, checkpoint, words) if card else beside:
        console.print(str(path))
