"""`sr pack`: decode a folder once, into a pack that training reads from."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def pack(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder of images or clips; with --verify, the pack to check.")
    ],
    destination: Annotated[
        Path | None, typer.Argument(metavar="DST", help="Folder to write; train from it with data.train.root=DST.")
    ] = None,
    lr: Annotated[
        list[Path] | None,
        typer.Option(
            "--lr", help="Folder with the LR of SRC; can be repeated. DST then contains HR and each LR by name."
        ),
    ] = None,
    align: Annotated[
        bool,
        typer.Option(
            "--align",
            help="With one --lr: undo a shift and a gain between LR and HR, and leave out pairs that differ otherwise.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Number of processes; by default one per core, at most 8.", show_default=False),
    ] = None,
    on_error: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="If a file can't be read: stop, or skip it, also in training."),
    ] = "stop",
    verify: Annotated[bool, typer.Option("--verify", help="Read a pack and check it against its checksums.")] = False,
    bits: Annotated[
        str, typer.Option(help="Depth of the pack: 8, 16, float, or auto for that of the deepest image.")
    ] = "auto",
    channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=32,
            help="Number of bands of multi-band images, or 3; by default what the files have.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Decode images and videos once, into a pack from which training reads crops without decoding."""
    from sr_experiments.data.depth import read_bits
    from sr_experiments.data.packs.command import make, verify_all
    from sr_experiments.errors import SRError

    if verify:
        verify_all(destination or source)
    elif destination is None:
        raise SRError("sr pack SRC DST: say where to write the pack")
    else:
        depth = read_bits(bits)
        make(source, destination, lr or [], "auto" if workers is None else workers, on_error, align, depth, channels)
