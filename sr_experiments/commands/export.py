"""`sr export`: write a trained network for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

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

    from sr_experiments.export.card import check_places, write_card
    from sr_experiments.export.export import export as write

    if card:
        check_places(output, checkpoint, overwrite)
    done = write(checkpoint, output, kind, half, overwrite, name or "")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    differences = ", ".join(f"{value:.2g} in {runtime}" for runtime, value in done.differences.items())
    size = done.file.stat().st_size / 2**20
    console.print(
        f"{done.file}: {done.kind}{', weights halved to fp16' if half else ''}, {size:.1f} MiB, of {done.source}"
    )
    sizes = ", ".join("x".join(map(str, size)) for size in done.sizes)
    console.print(f"largest difference to the original, values in [0, 1]: {differences}; on batches of {sizes}")
    if card:
        words = {"name": name or output.stem, "author": author, "license": licence, "description": description}
        for path in write_card(done, checkpoint, words):
            console.print(str(path))
