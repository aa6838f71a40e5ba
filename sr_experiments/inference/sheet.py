"""Sheets of `sr upscale`: one picture by bicubic enlargement and by several networks, side by side, with labels."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.depth import to_depth, to_srgb
from sr_experiments.display.pictures import labelled
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing
from sr_experiments.inference.image_engine import ImageEngine
from sr_experiments.inference.images import Picture, Transfer, for_network, write_picture
from sr_experiments.inference.options import Options
from sr_experiments.inference.sizes import Enlarger, WantedSize
from sr_experiments.metrics.baseline import baseline
from sr_experiments.report.html import html_page
from sr_experiments.report.media import Media

LARGEST_PAGE = 200_000_000  # bytes of pictures in it


class Page:
    """One HTML page of groups of pictures, with a slider between any two of a group.

    Args:
        file: that is written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._media = Media(LARGEST_PAGE)
        self._groups: list[dict[str, Any]] = []

    def add(self, name: str, pictures: dict[str, np.ndarray]) -> None:
        """Add a group of pictures of one size, uint8 (H, W, 3), by label."""
        columns = [
            {"label": label, "run": None, "image": place, "error": None, "psnr": None, "step": None}
            for label, pixels in pictures.items()
            if (place := self._media.add_picture(pixels)) is not None
        ]
        height, width = next(iter(pictures.values())).shape[:2]
        self._groups.append({"name": name, "width": width, "height": height, "columns": columns})

    def write(self) -> None:
        """Write the page, if it has pictures."""
        if not self._groups:
            return
        content = {
            "made": time.strftime("%Y-%m-%d %H:%M"),
            "runs": [],
            "pictures": self._groups,
            "media": self._media.uris,
            "mediaLeftOut": self._media.left_out,
            "errorRange": 0,
        }
        with replacing(self.file) as temporary:
            scripts = ("elements", "viewer", "pictures", "sheet")
            temporary.write_text(html_page("Networks side by side", scripts, content), encoding="utf-8")


class Sheets:
    """Makes the sheets of pictures, and one page of all of them with a slider between any two.

    Networks of several scales are compared at the largest, unless a size was asked for.

    Args:
        engines: the networks, by label.
        options: with the size that was asked for.
        page: where to write the page, or None.
    """

    def __init__(self, engines: dict[str, ImageEngine], options: Options, page: Path | None) -> None:
        options = at_one_scale(list(engines.values()), options)
        self.enlargers = {label: Enlarger.of(engine, options) for label, engine in engines.items()}
        self.page = None if page is None else Page(page)

    def pictures(self, picture: Picture) -> dict[str, np.ndarray]:
        """Return the picture by bicubic enlargement, or as it is at scale 1, and by each network, by label.

        All are uint8 (H, W, 3). Transparency is left out.

        Raises:
            SRError: a network can't make the size.
        """
        made: dict[str, np.ndarray] = {}
        for label, enlarger in self.enlargers.items():
            given = for_network(picture, enlarger.engine.traits.bits)
            if not made:
                made[baseline(enlarger.engine.scale)] = in_colour(enlarger.bicubic(given.pixels), given.transfer)
            made[label] = in_colour(enlarger(given.pixels), given.transfer)
        return made

    def write(self, target: Path, name: str, picture: Picture, options: Options) -> tuple[int, int]:
        """Write the sheet of a picture and put it on the page, if there is one; return its (height, width)."""
        made = self.pictures(picture)
        sheet = np.asarray(labelled({label: Image.fromarray(pixels) for label, pixels in made.items()}))
        write_picture(target, Picture(sheet, icc=picture.icc), options.quality, options.lossless)
        if self.page is not None:
            self.page.add(name, made)
        return sheet.shape[0], sheet.shape[1]

    def finish(self) -> None:
        """Write the page, if there is one."""
        if self.page is not None:
            self.page.write()


def page_of(output: Path, options: Options) -> Path | None:
    """Return where the page is written: beside the sheet, or in the folder of sheets; None without --html.

    Raises:
        SRError: it exists.
    """
    if not options.html:
        return None
    page = output.with_suffix(".html") if output.suffix and not output.is_dir() else output / "index.html"
    if page.exists() and not options.overwrite:
        raise SRError(f"{page} exists: give --overwrite to replace")
    return page


def at_one_scale(engines: Sequence[ImageEngine], options: Options) -> Options:
    """Return the options with the largest scale of the networks, if they have several and no size was asked for."""
    scales = {engine.scale for engine in engines}
    if len(scales) == 1 or WantedSize.of(options).given:
        return options
    return replace(options, scale=float(max(scales)))


def in_colour(pixels: np.ndarray, transfer: Transfer = "sRGB") -> np.ndarray:
    """Return pixels of any depth, grey or colour, as uint8 (H, W, 3) for a screen; of more bands the first three."""
    pixels = to_depth(to_srgb(pixels.clip(0, 1)) if transfer == "linear" else pixels, 8)
    pixels = pixels[..., :1] if pixels.shape[2] == 2 else pixels[..., :3]
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, 2)
