"""A picture of what a degradation does: HR, and several LR enlarged, each with its parameters."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.degradations.pipeline import Pipeline
from sr_experiments.data.image_files import read_image
from sr_experiments.data.images import as_tensor
from sr_experiments.errors import SRError
from sr_experiments.files import replacing
from sr_experiments.pictures import GAP, as_picture
from sr_experiments.registry import build

FONT, LINE, LETTER = 12, 15, 6.5  # size of the labels, height of a line, mean width of a letter, in pixels


def preview(
    source: Path, output: Path, config: str, overrides: Sequence[str], scale: int, count: int, crop: int, seed: int
) -> None:
    """Write a contact sheet: the middle of an image, and `count` random LR of it, their pixels enlarged.

    Args:
        source: the image.
        output: the picture, of any format Pillow writes.
        config: a file of conf/degradation by name, or the path of a YAML file.
        overrides: `key=value`, with dots on the way: `stages.3.quality=[10, 30]`.
        scale: whole downsampling factor.
        count: how many LR.
        crop: side of the middle.
        seed: of all that is random.

    Raises:
        SRError: no such image or configuration, a mistake in it, or the picture can't be written.
    """
    kind = Image.registered_extensions().get(output.suffix.lower())
    if kind is None:
        raise SRError(f"can't write {output}: give it the ending of an image, .png")
    degradation = build("degradation", DEGRADATIONS, load_config(config, overrides), scale=scale)
    hr = _middle(read_image(source), crop, scale)
    pictures = {"HR": as_picture(hr)}
    batch = hr.expand(count, -1, -1, -1)
    if isinstance(degradation, Pipeline):
        parameters = degradation.draw(count, 1, torch.Generator().manual_seed(seed))
        lr = degradation.apply(batch, parameters, torch.Generator().manual_seed(seed))
        labels = [f"{i + 1}: {degradation.describe(parameters, i)}" for i in range(count)]
    else:
        lr = degradation(batch[:1], torch.Generator().manual_seed(seed))  # nothing about it is random
        labels = [config]
    for label, image in zip(labels, lr, strict=True):
        pictures[label] = as_picture(image[None]).resize(pictures["HR"].size, Image.Resampling.NEAREST)
    with replacing(output) as temporary:
        contact_sheet(pictures).save(temporary, kind)


def load_config(config: str, overrides: Sequence[str]) -> dict[str, Any]:
    """A degradation's configuration, from its name or a file, changed by `key=value`.

    Raises:
        SRError: no such file, no mapping in it, or a key that isn't there.
    """
    path = Path(config) if config.endswith((".yaml", ".yml")) else _named(config)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SRError(f"can't read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise SRError(f"{path} is no configuration of a degradation: name: ..., and its arguments")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise SRError(f"{override!r} is no key=value, as in usm=false or stages.3.quality=[10, 30]")
        try:
            _put(found, key.split("."), yaml.safe_load(value))
        except (KeyError, IndexError, ValueError, TypeError, yaml.YAMLError):
            raise SRError(f"can't set {override!r} in {path}: look at its keys; stages are numbered from 0") from None
    return found


def contact_sheet(pictures: dict[str, Image.Image]) -> Image.Image:
    """Pictures of one size in rows, each below its label, whose lines are broken to fit."""
    columns = math.ceil(math.sqrt(len(pictures)))
    width, height = next(iter(pictures.values())).size
    texts = [textwrap.wrap(label, max(8, int(width / LETTER))) for label in pictures]
    above = LINE * max(len(text) for text in texts) + GAP
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (above + height + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (text, picture) in enumerate(zip(texts, pictures.values(), strict=True)):
        x, y = i % columns * (width + GAP), i // columns * (above + height + GAP)
        for line, words in enumerate(text):
            draw.text((x + 2, y + 1 + line * LINE), words, fill="black", font=ImageFont.load_default(FONT))
        sheet.paste(picture, (x, y + above))
    return sheet


def _named(name: str) -> Path:
    places = [folder / "conf/degradation" for folder in (Path(), Path(__file__).parents[2])]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise SRError("no conf/degradation here: run sr degrade where train.py is, or give --config a YAML file")
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise SRError(f"unknown --config {name}: choose one of {known}, or give a YAML file")
    return path


def _put(where: Any, keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        where = where[int(key)] if isinstance(where, list) else where[key]
    if isinstance(where, list):
        where[int(keys[-1])] = value
    else:
        where.update({keys[-1]: value}) if isinstance(where, dict) else where[keys[-1]]


def _middle(image: Any, crop: int, scale: int) -> Tensor:
    """(1, 3, H, W) in [0, 1]: the middle of an image, its sides at most `crop` and multiples of the scale."""
    sides = [min(size, crop) // scale * scale for size in image.shape[:2]]
    if min(sides) < 1:
        raise SRError(f"the image is {image.shape[1]}x{image.shape[0]}: too small for scale {scale}")
    top, left = ((size - side) // 2 for size, side in zip(image.shape[:2], sides, strict=True))
    return as_tensor(image[top : top + sides[0], left : left + sides[1]])[None].float() / 255
