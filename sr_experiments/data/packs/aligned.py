"""Aligned copies of two folders, HR and LR, for a pack of them."""

import csv
import io
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from sr_experiments.data.alignment import Pair, align
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.packs.decoding import skip_hint
from sr_experiments.data.packs.folders import FileFolder
from sr_experiments.data.paired import pair_images
from sr_experiments.data.workers import worker_count
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing

log = logging.getLogger(__name__)

TABLE = "alignment.csv"


def align_folders(hr: Path, lr: Path, target: Path, workers: int | str, on_error: str) -> tuple[Path, Path, str]:
    """Write the pairs of two folders, aligned, as PNG into two folders of the target, and a table of what was found.

    Pairs that can't be aligned are logged and left out. Files that are there already are left as they are.

    Returns:
        The folders of HR and LR, and what was found, in words.

    Raises:
        SRError: the folders don't pair, no pair can be aligned, or the target has other content.
    """
    folders = FileFolder(hr), FileFolder(lr)
    scale = _scale_of(*folders)
    pairs = pair_images(*folders, scale)
    if target.exists() and not (target / TABLE).is_file():
        raise SRError(f"{target} exists and does not hold aligned pairs: choose another folder for the pack")
    outputs = target / "HR", target / folders[1].name
    target.mkdir(parents=True, exist_ok=True)
    (target / TABLE).touch()

    def work(pair: tuple[Path, Path]) -> Pair | str:
        try:
            aligned = align(folders[0].read(pair[0]), folders[1].read(pair[1]), scale)
        except UnreadableImage as error:
            if on_error == "stop":
                raise UnreadableImage(f"{error}{skip_hint(on_error)}") from error
            return str(error)
        except SRError as error:
            return str(error)
        for folder, pixels in zip(outputs, aligned[:2], strict=True):
            _write(folder / _name(pair[0], folders[0]), pixels)
        return aligned._replace(hr=pixels[:0], lr=pixels[:0])  # what is needed of it; a folder may not fit into memory

    console = Console(stderr=True)
    with ThreadPoolExecutor(max(worker_count(workers, in_memory=False), 1)) as pool:
        shown = console.is_terminal
        found = list(track(pool.map(work, pairs), "aligning", len(pairs), console=console, disable=not shown))
    names = [path.relative_to(folders[0].root).as_posix() for path, _ in pairs]
    done = {name: pair for name, pair in zip(names, found, strict=True) if not isinstance(pair, str)}
    for name, pair in zip(names, found, strict=True):
        if isinstance(pair, str):
            log.warning("left out %s: %s", name, pair)
    if not done:
        raise SRError(f"no pair of {hr} and {lr} can be aligned: look at them, they may be of different scenes")
    kept = {(folder / Path(name).with_suffix(".png")) for folder in outputs for name in done}
    for folder in outputs:
        for old in set(folder.rglob("*.png")) - kept:  # of an earlier state of the folders
            old.unlink()
    _write_table(target / TABLE, names, found)
    return *outputs, _words(list(done.values()), len(pairs), scale, target / TABLE)


def _scale_of(hr: FileFolder, lr: FileFolder) -> int:
    """Return the ratio of the widest images."""
    widths = []
    for folder in (hr, lr):
        sizes = [size for size in folder.sizes(folder.images()) if not isinstance(size, UnreadableImage)]
        if not sizes:
            raise SRError(f"no image in {folder.root} can be read")
        widths.append(max(width for _, width in sizes))
    scale = round(widths[0] / widths[1])
    if scale < 1:
        raise SRError(f"{lr.root} has larger images than {hr.root}: give the folder of HR first, that of LR with --lr")
    return scale


def _name(path: Path, folder: FileFolder) -> Path:
    return path.relative_to(folder.root).with_suffix(".png")


def _write(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG, unless it is there: packs of unchanged files are not made again."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG", compress_level=1)
    if path.is_file() and path.read_bytes() == content.getvalue():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def _write_table(path: Path, names: list[str], found: list[Pair | str]) -> None:
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        table = csv.writer(file)
        table.writerow(["name", "dx", "dy", "gain", "left_out"])
        for name, pair in zip(names, found, strict=True):
            if isinstance(pair, str):
                table.writerow([name, "", "", "", pair])
            else:
                table.writerow([name, *(f"{d:.3f}" for d in pair.shift), f"{pair.gain:.3f}", ""])


def _words(pairs: list[Pair], total: int, scale: int, table: Path) -> str:
    shifts, gains = np.array([pair.shift for pair in pairs]), [pair.gain for pair in pairs]
    dx, dy = np.median(shifts, 0)
    return (
        f"{len(pairs)} of {total} pairs aligned at scale {scale}: LR was shifted by ({dx:+.2f}, {dy:+.2f}) LR pixels "
        f"in the median, {np.abs(shifts).max():.2f} at most, and {min(gains):.2f} to {max(gains):.2f} times as bright; "
        f"see {table}"
    )
