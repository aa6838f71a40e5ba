"""The same validation picture of every run, cut from the strips in their samples folders."""

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.image_files import open_image
from sr_experiments.pictures import GAP, LABEL_HEIGHT
from sr_experiments.report.media import Media, error_map
from sr_experiments.runs.reading import Run

TILES = ("lr", "bicubic", "sr", "hr")
STEP = re.compile(r"step_(\d+)")


@dataclass(frozen=True)
class Strip:
    """A sample of a run.

    Attributes:
        name: `<set>_<image>`.
        run: number of the run.
        step: at which it was made.
        tiles: uint8 (H, W, 3), by TILES.
    """

    name: str
    run: int
    step: int
    tiles: dict[str, np.ndarray]


def picture_groups(runs: Sequence[Run], media: Media, most: int) -> list[dict[str, Any]]:
    """Pictures for the page: of each crop of HR, what every run made of it.

    Args:
        runs: in order.
        media: takes the pictures.
        most: crops to show.
    """
    groups: dict[tuple[str, str], list[Strip]] = {}
    for number, run in enumerate(runs):
        for strip in last_strips(run, number):
            digest = hashlib.sha256(strip.tiles["hr"].tobytes()).hexdigest()
            groups.setdefault((strip.name, digest), []).append(strip)
    # Pictures that more runs share say more.
    chosen = sorted(groups.values(), key=lambda strips: (-len({s.run for s in strips}), strips[0].name))
    return [_group(strips, media) for strips in chosen[:most]]


def last_strips(run: Run, number: int) -> Iterator[Strip]:
    """Strips of the last validation that made SR; files that are not whole are passed over."""
    for folder in _latest_first(run.folder / "samples"):
        strips = list(_strips_in(folder, number))
        if strips:
            yield from strips
            return


def sample_folder(run: Run) -> Path | None:
    """The folder of the last validation that made SR."""
    return next((f for f in _latest_first(run.folder / "samples") if any(f.glob("*.png"))), None)


def cut(strip: Image.Image) -> dict[str, np.ndarray] | None:
    """The tiles of a strip lr | bicubic | sr | hr; None if it isn't one."""
    width, odd = divmod(strip.width + GAP, len(TILES))
    height = strip.height - LABEL_HEIGHT
    if odd or width <= GAP or height < 1:
        return None
    pixels = np.asarray(strip.convert("RGB"))[LABEL_HEIGHT:]
    return {tile: pixels[:, i * width : (i + 1) * width - GAP] for i, tile in enumerate(TILES)}


def _latest_first(samples: Path) -> list[Path]:
    """Folders of validations, in stages too, without those of a stage that makes flow and no SR."""
    found = [path for path in (*samples.glob("step_*"), *samples.glob("*/step_*")) if STEP.fullmatch(path.name)]
    with_sr = [path for path in found if path.parent == samples or not path.parent.name.endswith("_flow")]
    return sorted(with_sr, key=lambda path: -int(path.name.removeprefix("step_")))


def _strips_in(folder: Path, number: int) -> Iterator[Strip]:
    step = int(folder.name.removeprefix("step_"))
    for path in sorted(folder.glob("*.png")):
        if path.name.endswith("_xt.png"):
            continue
        try:
            with open_image(path) as image:
                tiles = cut(image)
        except Exception:  # a damaged file can fail anywhere in a decoder
            continue
        if tiles is not None:
            yield Strip(path.stem, number, step, tiles)


def _group(strips: Sequence[Strip], media: Media) -> dict[str, Any]:
    hr = strips[0].tiles["hr"]
    height, width = hr.shape[:2]
    columns: list[dict[str, Any]] = []

    def column(label: str, run: int | None, tile: np.ndarray, step: int | None = None, judged: bool = True) -> None:
        place = media.add_picture(tile)
        if place is not None:
            error = media.add_picture(error_map(tile, hr)) if judged else None
            psnr = _psnr(tile, hr) if judged else None
            columns.append({"label": label, "run": run, "image": place, "error": error, "psnr": psnr, "step": step})

    for tile in ("lr", "bicubic"):  # other degradations give others
        different: dict[bytes, list[Strip]] = {}
        for strip in strips:
            different.setdefault(strip.tiles[tile].tobytes(), []).append(strip)
        for i, same in enumerate(different.values()):
            label = tile if len(different) == 1 else f"{tile} {i + 1}"
            column(label, None, same[0].tiles[tile], judged=tile != "lr")
    column("hr", None, hr, judged=False)
    for strip in strips:
        column("", strip.run, strip.tiles["sr"], strip.step)
    order = [*(c for c in columns if c["label"] != "hr"), *(c for c in columns if c["label"] == "hr")]
    return {"name": strips[0].name, "width": width, "height": height, "columns": order}


def _psnr(sr: np.ndarray, hr: np.ndarray) -> float | None:
    mse = float(np.mean((sr.astype(np.float64) - hr) ** 2))
    return 10 * math.log10(255**2 / mse) if mse else None
