"""What runs left in their samples folders: validation pictures, cut from strips; time slices and clips of videos."""

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.display.pictures import GAP, LABEL_HEIGHT, error_map
from sr_experiments.metrics.baseline import BASELINES, strip_tiles
from sr_experiments.report.media import Media
from sr_experiments.runs.reading import Run

STEP = re.compile(r"step_(\d+)")
VIDEO_FILES = {"_xt.png": ("slice", "image/png"), ".mp4": ("clip", "video/mp4")}  # slices first: they are small


@dataclass(frozen=True)
class Strip:
    """A strip lr | bicubic | sr | hr, at scale 1 input | sr | hr, as a run saved it, cut into its tiles."""

    name: str  # `<set>_<image>`
    run: int  # index of the run
    step: int  # training step of the validation
    tiles: dict[str, np.ndarray]  # pixels by tile name, uint8 (H, W, 3)
    best: bool = False  # of the best checkpoint, beside the last one


def picture_groups(runs: Sequence[Run], media: Media, most: int, with_best: bool = False) -> list[dict[str, Any]]:
    """Return the picture groups of the page: for each of `most` HR crops, the SR of every run that validated on it.

    With `with_best` also that of each run's best checkpoint, where it is not that of the last validation.
    """
    groups: dict[tuple[str, str], list[Strip]] = {}
    for number, run in enumerate(runs):
        last = last_strips(run, number)
        for strip in [*last, *(_best_strips(run, number, last) if with_best else ())]:
            # By content and not by name alone: runs may have validated on other crops of an image.
            digest = hashlib.sha256(strip.tiles["hr"].tobytes()).hexdigest()
            groups.setdefault((strip.name, digest), []).append(strip)
    # Crops that more runs share come first: they compare more.
    chosen = sorted(groups.values(), key=lambda strips: (-len({s.run for s in strips}), strips[0].name))
    return [_group(strips, media) for strips in chosen[:most]]


def clip_groups(runs: Sequence[Run], media: Media) -> list[dict[str, Any]]:
    """Return the clips of the page: for each one the time slice and mp4 of every run's last validation."""
    clips: dict[str, dict[int, dict[str, Any]]] = {}
    for ending, (kind, media_type) in VIDEO_FILES.items():
        for number, run in enumerate(runs):
            folder = next((f for f in _latest_first(run) if any(f.glob("*.png"))), None)
            for path in sorted(folder.glob(f"*{ending}")) if folder else ():
                try:
                    place = media.add(path.read_bytes(), media_type)
                except OSError:
                    continue
                if place is not None:
                    clip = clips.setdefault(path.name.removesuffix(ending), {})
                    clip.setdefault(number, {"run": number})[kind] = place
    return [{"name": name, "runs": list(clip.values())} for name, clip in clips.items()]


def newest_steps(runs: Sequence[Run]) -> list[int | None]:
    """Return the step of each run's newest pictures; None where there are none."""
    newest = [next((f for f in _latest_first(run) if any(f.glob("*.png"))), None) for run in runs]
    return [None if folder is None else int(folder.name.removeprefix("step_")) for folder in newest]


def _best_strips(run: Run, number: int, last: Sequence[Strip]) -> list[Strip]:
    """Return the strips of a run's best checkpoint; none where they are the `last` ones."""
    step, tiles = run.best_step, strip_tiles(run.scale)
    if step is None or (last and last[0].step == step):
        return []
    folders = [folder for folder in _latest_first(run) if int(folder.name.removeprefix("step_")) == step]
    return [replace(strip, best=True) for folder in folders for strip in _strips_in(folder, number, tiles)]


def last_strips(run: Run, number: int) -> list[Strip]:
    """Return the strips of the last validation that made SR; damaged files are skipped."""
    tiles = strip_tiles(run.scale)
    found = (list(_strips_in(folder, number, tiles)) for folder in _latest_first(run))
    return next(filter(None, found), [])


def cut(strip: Image.Image, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Cut a strip into its tiles, whose names are given from left to right; None if the image is no such strip."""
    width, odd = divmod(strip.width + GAP, len(names))
    height = strip.height - LABEL_HEIGHT
    if odd or width <= GAP or height < 1:
        return None
    pixels = np.asarray(strip.convert("RGB"))[LABEL_HEIGHT:]
    return {tile: pixels[:, i * width : (i + 1) * width - GAP] for i, tile in enumerate(names)}


def _latest_first(run: Run) -> list[Path]:
    """Return the sample folders of a run's validations, the latest first, without those of stages that make no SR."""
    samples = run.folder / "samples"
    found = [path for path in (*samples.glob("step_*"), *samples.glob("*/step_*")) if STEP.fullmatch(path.name)]
    with_sr = [path for path in found if path.parent == samples or not path.parent.name.endswith("_flow")]
    return sorted(with_sr, key=lambda path: -int(path.name.removeprefix("step_")))


def _strips_in(folder: Path, number: int, names: Sequence[str]) -> Iterator[Strip]:
    step = int(folder.name.removeprefix("step_"))
    for path in sorted(folder.glob("*.png")):
        if path.name.endswith("_xt.png"):  # a time slice, no strip
            continue
        try:
            tiles = cut(Image.fromarray(read_image(path)), names)
        except UnreadableImage:
            continue
        if tiles is not None:
            yield Strip(path.stem, number, step, tiles)


def _group(strips: Sequence[Strip], media: Media) -> dict[str, Any]:
    hr = strips[0].tiles["hr"]
    height, width = hr.shape[:2]
    columns: list[dict[str, Any]] = []

    def add_column(label: str, tile: np.ndarray, strip: Strip | None = None) -> None:
        place = media.add_picture(tile)
        if place is not None:
            compared = not label.startswith(("lr", "hr"))
            error = media.add_picture(error_map(tile, hr)) if compared else None
            psnr = _psnr(tile, hr) if compared else None
            of = {"run": None, "step": None} if strip is None else {"run": strip.run, "step": strip.step}
            best = {"best": True} if strip is not None and strip.best else {}
            columns.append({"label": label, **of, "image": place, "error": error, "psnr": psnr, **best})

    # Runs with different degradations have different LR of the same HR: each is shown once.
    for tile in ("lr", *BASELINES):
        variants = {strip.tiles[tile].tobytes(): strip.tiles[tile] for strip in strips if tile in strip.tiles}
        for i, pixels in enumerate(variants.values()):
            label = tile if len(variants) == 1 else f"{tile} {i + 1}"
            add_column(label, pixels)
    add_column("hr", hr)  # before SR, so that it is not the one that does not fit
    for strip in strips:
        add_column("", strip.tiles["sr"], strip)
    order = [*(c for c in columns if c["label"] != "hr"), *(c for c in columns if c["label"] == "hr")]
    return {"name": strips[0].name, "width": width, "height": height, "columns": order}


def _psnr(sr: np.ndarray, hr: np.ndarray) -> float | None:
    mse = float(np.mean((sr.astype(np.float64) - hr) ** 2))
    return 10 * math.log10(255**2 / mse) if mse else None
