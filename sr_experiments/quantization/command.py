"""`sr quantize`: check the output, quantise, show what was measured, write."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.errors import SRError
from sr_experiments.logging_setup import log_to_console
from sr_experiments.quantization.choose import Bounds
from sr_experiments.quantization.file import read, write
from sr_experiments.quantization.measure import table
from sr_experiments.quantization.pictures import find_pictures, run_folder
from sr_experiments.quantization.quantize import quantize


def run(
    checkpoint: Path, output: Path, data: Path | None, images: int, max_drop: float, fidelity: float, overwrite: bool
) -> None:
    """Write the network of a checkpoint in int8, within the bounds; arguments are `commands.quantize`'s.

    Raises:
        SRError: it can't be had, or can't be written; then no file is written.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False)
    log_to_console(Console(stderr=True))
    output = output.expanduser()
    if output.suffix.lower() != ".safetensors":
        raise SRError(f"{output}: name it {output.stem or 'network'}.safetensors")
    if output.is_dir() or (output.exists() and not overwrite):
        raise SRError(f"{output} exists: give --overwrite to replace, or another name")
    if not output.parent.is_dir():
        raise SRError(f"no folder {output.parent}: make it, or give another --output")
    checkpoint = checkpoint.expanduser()
    generator, found = load_generator(checkpoint)
    pictures = find_pictures(generator, images, data.expanduser() if data else None, run_folder(checkpoint))
    network = quantize(generator, found, pictures, Bounds(max_drop, fidelity))
    write(output, network)
    read(output)
    rows = table(network.facts["measured"])
    shown = Table(*rows[0], box=None)
    for row in rows[1:]:
        shown.add_row(*row)
    console.print(shown)
    kept = network.facts["kept"]
    console.print(
        f"{output}: {output.stat().st_size / 2**20:.1f} MiB, {network.facts['share']:.0%} of the multiply-adds in int8"
        + (f", in higher precision {len(kept)} of {len(kept) + len(network.layers)} convolutions" if kept else "")
        + f"; measured on {len(pictures.measured)} pictures that it was not calibrated with"
    )
