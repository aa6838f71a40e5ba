"""`sr quantize`: check the output, quantise, show what was measured, write."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.config.quoting import override, train_command
from sr_experiments.display.logging_setup import log_to_console
from sr_experiments.errors import SRError
from sr_experiments.quantization.choose import Bounds
from sr_experiments.quantization.file import read, write
from sr_experiments.quantization.measure import table
from sr_experiments.quantization.pictures import find_pictures, run_folder
from sr_experiments.quantization.quantize import calibrated_with, quantize, refuse_unsuited
from sr_experiments.quantization.tuned import tuned_for_int8


def run(
    checkpoint: Path,
    output: Path,
    data: Path | None,
    images: int,
    max_drop: float,
    fidelity: float,
    overwrite: bool,
    train: int | None = None,
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
    refuse_unsuited(generator, found)
    folder = run_folder(checkpoint)
    tuned = tuned_for_int8(folder)
    pictures = find_pictures(generator, images, data.expanduser() if data else None, folder)
    if train is not None:
        if folder is None:
            raise SRError(
                f"--train needs a run folder, for data and losses, and {checkpoint} is in none: start one from it with "
                f"{train_command([override('init_from', checkpoint)])}, or leave --train out"
            )
        if tuned is not None:
            raise SRError(f"{folder} was trained for int8 already: leave --train out")
        from sr_experiments.quantization.fine_tune import fine_tune  # imports training

        equal, calibrated = calibrated_with(generator.requires_grad_(False), pictures)
        folder = fine_tune(folder, equal, calibrated, found, train, Console(stderr=True))
        log_to_console(Console(stderr=True))
        generator, found = load_generator(folder)
        tuned = tuned_for_int8(folder)
    network = quantize(generator, found, pictures, Bounds(max_drop, fidelity), tuned)
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
