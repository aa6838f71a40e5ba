"""What `sr pack` does: pack a folder, or HR and its LR side by side; check packs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from sr_experiments.data.packs.pack import INDEX, Pack
from sr_experiments.data.packs.packing import pack, readable_size, transient_progress
from sr_experiments.data.training_crops import first_few
from sr_experiments.errors import SRError
from sr_experiments.logging_setup import log_to_console


def make(source: Path, destination: Path, lr: Sequence[Path], workers: int | str, on_error: str) -> None:
    """Pack a folder into the destination; with LR, HR into its `HR` and each LR folder into one of its name.

    Raises:
        SRError: as `pack`; folders of the same name.
    """
    log_to_console(Console(stderr=True))
    jobs = [(source, destination / "HR" if lr else destination)]
    jobs += [(folder, destination / folder.expanduser().resolve().name) for folder in lr]
    targets = [target.name.lower() for _, target in jobs]
    twice = [str(folder) for (folder, _), name in zip(jobs, targets, strict=True) if targets.count(name) > 1]
    if twice:
        raise SRError(f"{' and '.join(twice)} would be packed into one folder: rename one, or pack them one by one")
    for folder, target in jobs:
        packed = pack(folder, target, workers, on_error)
        size, unreadable = int(packed.index.bytes_of.sum()), list(packed.index.unreadable.values())
        skipped = f"; {len(unreadable)} unreadable: {first_few(unreadable)}" if unreadable else ""
        _say(f"{target}: {len(packed.index.names)} files of {folder}, {readable_size(size)}{skipped}")
    if lr:
        places = " or ".join(f"data.train.lr={target}" for _, target in jobs[1:])
        _say(f"train with data=paired data.train.hr={jobs[0][1]} {places}")


def verify_all(folder: Path) -> None:
    """Check a pack, or the packs in a folder, against their checksums, and look if their sources have changed.

    Raises:
        SRError: names what is damaged or has changed.
    """
    folder = folder.expanduser()
    places = [folder] if (folder / INDEX).is_file() else sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
    if not places:
        raise SRError(f"no pack in {folder}: make one with sr pack <folder> {folder}")
    for place in places:
        found = Pack(place, look=False)
        with transient_progress() as progress:
            bar = progress.add_task("reading", total=int(found.index.bytes_of.sum()))
            damaged = list(found.damaged(partial(progress.advance, bar)))
        again = f"remove {place} and pack again with sr pack {found.index.source} {place}"
        if damaged:
            raise SRError(f"{place} is damaged at {first_few(damaged)}; {again}")
        changed = found.changed_sources()
        if changed:
            raise SRError(f"{found.index.source} has changed since it was packed: {first_few(changed)}; {again}")
        _say(
            f"{place}: {len(found.index.names)} files, {readable_size(int(found.index.bytes_of.sum()))}, all as packed"
        )


def _say(line: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(line)
