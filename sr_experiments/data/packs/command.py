"""The `sr pack` command: pack a folder, or HR and LR next to each other; verify packs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from sr_experiments.data.depth import WORDS, Bits
from sr_experiments.data.packs.pack import INDEX, Pack
from sr_experiments.data.packs.packing import pack, transient_progress
from sr_experiments.data.training_crops import first_few
from sr_experiments.display.logging_setup import log_to_console
from sr_experiments.errors import SRError


def make(
    source: Path,
    destination: Path,
    lr: Sequence[Path],
    workers: int | str,
    on_error: str,
    align: bool = False,
    bits: Bits | None = None,
    channels: int | None = None,
) -> None:
    """Pack a folder; with LR, pack HR into `HR` in the destination and each LR folder next to it by its own name.

    Depth and channels are as of `pack`. With `align`, what is packed are aligned copies of the pairs, in `aligned` in
    the destination.

    Raises:
        SRError: as raised by `pack` and `align_folders`, or folders of the same name.
    """
    log_to_console(Console(stderr=True))
    jobs = [(source, destination / "HR" if lr else destination)]
    jobs += [(folder, destination / folder.expanduser().resolve().name) for folder in lr]
    targets = [target.name.lower() for _, target in jobs]
    clashing = [str(folder) for (folder, _), name in zip(jobs, targets, strict=True) if targets.count(name) > 1]
    if clashing:
        raise SRError(f"{' and '.join(clashing)} would be packed into one folder: rename one, or pack them separately")
    if align:
        if bits not in (None, 8) or channels not in (None, 3):
            raise SRError("--align makes pairs of 8-bit RGB: leave out --bits and --channels")
        from sr_experiments.data.packs.aligned import align_folders  # imports torch

        if len(lr) != 1:
            raise SRError("--align takes pairs: give one folder of LR with --lr")
        source, aligned, found = align_folders(source, lr[0], destination.expanduser() / "aligned", workers, on_error)
        jobs = [(source, jobs[0][1]), (aligned, jobs[1][1])]
        _print(found)
    for folder, target in jobs:
        packed = pack(folder, target, workers, on_error, bits=bits, channels=channels)
        size, unreadable = int(packed.index.bytes_of.sum()), list(packed.index.unreadable.values())
        skipped = f"; {len(unreadable)} unreadable: {first_few(unreadable)}" if unreadable else ""
        layout = "" if packed.index.bits == 8 else f" {WORDS[packed.index.bits]},"
        layout += "" if packed.index.channels == 3 else f" {packed.index.channels} bands,"
        _print(f"{target}: {len(packed.index.names)} files of {folder},{layout} {decimal(size)}{skipped}")
    if lr:
        options = " or ".join(f"data.train.lr={target}" for _, target in jobs[1:])
        _print(f"train with data=paired data.train.hr={jobs[0][1]} {options}")


def verify_all(folder: Path) -> None:
    """Verify the checksums of a pack, or of the packs in a folder, and that their sources have not changed.

    Raises:
        SRError: names what is damaged or has changed.
    """
    folder = folder.expanduser()
    packs = [folder] if (folder / INDEX).is_file() else sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
    if not packs:
        raise SRError(f"no pack in {folder}: make one with sr pack <folder> {folder}")
    for path in packs:
        found = Pack(path, check_sources=False)
        size = int(found.index.bytes_of.sum())
        with transient_progress() as progress:
            bar = progress.add_task("reading", total=size)
            damaged = list(found.damaged(partial(progress.advance, bar)))
        again = f"remove {path} and pack again with sr pack {found.index.source} {path}"
        if damaged:
            raise SRError(f"{path} is damaged at {first_few(damaged)}; {again}")
        changed = found.changed_sources()
        if changed:
            raise SRError(f"{found.index.source} has changed since it was packed: {first_few(changed)}; {again}")
        _print(f"{path}: {len(found.index.names)} files, {decimal(size)}, all as packed")


def _print(line: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(line)
