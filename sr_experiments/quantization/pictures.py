"""Pictures to calibrate and measure with: the user's, a run's validation set, or the packaged photographs."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sr_experiments.data.degradations import DEGRADATIONS, Degradation
from sr_experiments.data.image_files import UnreadableImage, list_images, read_image
from sr_experiments.data.module import validation_set
from sr_experiments.data.sample import TRAINING, VALIDATION, sample_paths
from sr_experiments.errors import SRError
from sr_experiments.evaluation.candidates import to_pixels, to_tensor
from sr_experiments.generators.generator import Generator
from sr_experiments.runs.reading import read_config

log = logging.getLogger(__name__)

CROP = 64  # side of a calibration picture, in LR pixels
SMALLEST = 24  # smallest side of an LR picture that says enough
MEASURED = 8  # pictures that are measured at most
MEASURED_SIDE = 128  # side of what is measured of each, in LR pixels
NEARLY = 16  # levels from black and from white
SHIFT = 2  # pixels by which the frames of a clip move

Image = tuple[str, Callable[[], np.ndarray]]  # the name, and what reads it: uint8 (H, W, C)


@dataclass(frozen=True)
class Picture:
    """HR and LR, uint8 (H, W, C), the sides of HR being `scale` times those of LR."""

    name: str
    hr: np.ndarray
    lr: np.ndarray


@dataclass(frozen=True)
class Pictures:
    """Pictures of which none is in both lists, and in words where they are from."""

    calibration: list[Picture]
    measured: list[Picture]
    source: str


def find_pictures(generator: Generator, count: int, data: Path | None = None, run: Path | None = None) -> Pictures:
    """Return pictures for a network.

    Args:
        generator: tells the scale, the channels and the phase of LR.
        count: number of calibration pictures, each a crop of CROP LR pixels a side or less.
        data: folder of HR images; by default the validation images of the run, else the packaged photographs.
        run: a run folder, whose validation images are used if it names any.

    Raises:
        SRError: there are too few images, or they are too small.
    """
    if data is not None:
        if not data.is_dir():
            raise SRError(f"--data {data} is no folder: give a folder of images")
        files: list[Image] = [(path.name, partial(read_image, path, generator.channels)) for path in list_images(data)]
        return _split(files, generator, count, f"images of {data}", f"--data {data}")
    if run is not None and (images := list(_of_run(run, generator))):
        try:
            return _split(images, generator, count, f"the validation images of {run}", f"data.val of {run}")
        except SRError as error:
            log.warning("%s: the packaged photographs are used", error)
    training, validation = (
        [(path.name, read_image(path, generator.channels)) for path in sample_paths(names)]
        for names in (TRAINING, VALIDATION)
    )
    return Pictures(
        _crops(training, generator, count), _measured(validation, generator), "the packaged photographs"
    )  # fmt: skip


def run_folder(checkpoint: Path) -> Path | None:
    """Return the run folder that a checkpoint is of; None if it is of none."""
    places = (checkpoint, checkpoint.parent.parent)
    return next((place for place in places if (place / "config.yaml").is_file()), None)


def _of_run(run: Path, generator: Generator) -> Iterator[Image]:
    """Yield the validation images that the configuration of a run names; clips have none."""

    def load(images: Any, number: int) -> np.ndarray:
        return np.ascontiguousarray(images[number]["hr"].permute(1, 2, 0).numpy())

    config = read_config(run) or {}
    sets = (config.get("data") or {}).get("val") or {}
    for name, arguments in sets.items():
        try:
            images = validation_set(name, arguments, generator.scale, generator.channels, False, None)
            yield from ((f"{name} {i}", partial(load, images, i)) for i in range(len(images)))
        except SRError as error:
            log.warning("data.val.%s of %s is not used: %s", name, run, error)


def _split(images: list[Image], generator: Generator, count: int, source: str, option: str) -> Pictures:
    """Read as many images as are needed, from all places of the list, and keep some apart to measure with."""
    needed = count + MEASURED
    if len(images) > needed:
        images = [images[i * len(images) // needed] for i in range(needed)]
    least, large = SMALLEST * generator.scale, []
    for name, load in images:
        try:
            image = load()
        except UnreadableImage as error:
            log.warning("%s: left out", error)
            continue
        if min(image.shape[:2]) >= least:
            large.append((name, image))
    if len(large) < 2:
        raise SRError(
            f"{option} has {len(large)} images of at least {least}x{least}: calibration needs 2 or more, of which some "
            "are kept apart to measure with; give more, or leave --data out for the packaged photographs"
        )
    apart = max(1, min(MEASURED, len(large) // 4))
    places = {(2 * i + 1) * len(large) // (2 * apart) for i in range(apart)}
    measured = [large[i] for i in sorted(places)]
    others = [image for i, image in enumerate(large) if i not in places]
    return Pictures(_crops(others, generator, count), _measured(measured, generator), f"{len(others)} {source}")


def _crops(images: list[tuple[str, np.ndarray]], generator: Generator, count: int) -> list[Picture]:
    """Cut `count` crops, from all images alike, at places that are the same each time."""
    random, side = np.random.default_rng(0), CROP * generator.scale
    crops = []
    for i in range(count):
        name, image = images[i % len(images)]
        height, width = (min(side, length) for length in image.shape[:2])
        top, left = (int(random.integers(0, 1 + max(length - side, 0))) for length in image.shape[:2])
        crops.append(_pair(name, image[top : top + height, left : left + width], generator))
    return crops


def _measured(images: list[tuple[str, np.ndarray]], generator: Generator) -> list[Picture]:
    side, pictures = MEASURED_SIDE * generator.scale, []
    for name, image in images[:MEASURED]:
        top, left = (max(length - side, 0) // 2 for length in image.shape[:2])
        pictures.append(_pair(name, image[top : top + side, left : left + side], generator))
    return pictures


def degradation_of(generator: Generator) -> Degradation:
    """Return how the LR is made that a network expects."""
    return DEGRADATIONS["blur_down" if generator.phase == "corner" else "bicubic"](scale=generator.scale)


def _pair(name: str, image: np.ndarray, generator: Generator) -> Picture:
    """Make LR of an image as the network expects it."""
    height, width = (length // generator.scale * generator.scale for length in image.shape[:2])
    hr = np.ascontiguousarray(image[:height, :width])
    return Picture(name, hr, to_pixels(degradation_of(generator).validation(to_tensor(hr))))


def extremes(pictures: Sequence[Picture]) -> list[np.ndarray]:
    """Return LR pictures, uint8 (H, W, C), of the values that the given ones may lack.

    They are black, white and, if all of the given ones are dark or pale, each of them stretched to the whole range.
    """
    flat = [np.full_like(pictures[0].lr, value) for value in (0, 255)]
    low, high = min(int(p.lr.min()) for p in pictures), max(int(p.lr.max()) for p in pictures)
    if low < NEARLY and high > 255 - NEARLY:
        return flat
    return [*flat, *(_stretched(picture.lr) for picture in pictures)]


def _stretched(image: np.ndarray) -> np.ndarray:
    low, high = float(image.min()), float(image.max())
    return np.rint((image - low) * (255 / max(high - low, 1))).astype(np.uint8)


def clip_of(lr: np.ndarray, frames: int) -> list[np.ndarray]:
    """Return frames of a camera that moves over a picture, uint8 (H', W', C) each; the last ends at its corner."""
    room = SHIFT * (frames - 1)
    height, width = (length - room for length in lr.shape[:2])
    return [np.ascontiguousarray(lr[s : s + height, s : s + width]) for s in range(0, room + 1, SHIFT)]
