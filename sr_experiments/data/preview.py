"""A contact sheet of a degradation: HR, and several random LR enlarged, each with its parameters."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr_experiments.config.declared import conf_folder
from sr_experiments.data.degradations import CHANGING, DEGRADATIONS, LR_IS_HR
from sr_experiments.data.degradations.pipeline import Pipeline
from sr_experiments.data.image_files import image_header, read_image, say_pages
from sr_experiments.data.images import as_floats, as_tensor
from sr_experiments.display.pictures import GAP, as_picture
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing
from sr_experiments.registry import build

FONT_SIZE, LINE_HEIGHT, LETTER_WIDTH = 12, 15, 6.5  # of the labels, in pixels; the width is a mean


def preview(
    source: Path, output: Path, config: str, overrides: Sequence[str], scale: int, count: int, crop: int, seed: int
) -> None:
    """Write a contact sheet: the centre of an image and `count` random LR of it, enlarged without interpolation.

    LR is made at the depth of the image, of all its bands; the sheet shows 8 bits, and the first three bands. The
    arguments are the options of `sr degrade`.

    Raises:
        SRError: no such image or configuration, an invalid value in it, or the output can't be written.
    """
    image_format = Image.registered_extensions().get(output.suffix.lower())
    if image_format is None:
        raise SRError(f"can't write {output}: give it the extension of an image, .png")
    degradation = build("degradation", DEGRADATIONS, load_config(config, overrides), scale=scale)
    if degradation.identity:
        raise SRError(f"{LR_IS_HR}: give --config {', '.join(CHANGING[:-1])} or {CHANGING[-1]}")
    header = image_header(source)
    say_pages({source: header.pages})
    degradation.bits, channels = header.depth, header.channels
    degradation.check_channels(channels)
    hr = _centre(read_image(source, channels, degradation.bits), crop, scale)
    pictures = {"HR": as_picture(hr)}
    batch = hr.expand(count, -1, -1, -1)
    if isinstance(degradation, Pipeline):
        parameters = degradation.draw(count, 1, torch.Generator().manual_seed(seed))
        lr = degradation.apply(batch, parameters, torch.Generator().manual_seed(seed))
        labels = [f"{i + 1}: {degradation.describe(parameters, i)}" for i in range(count)]
    else:
        lr = degradation(batch[:1], torch.Generator().manual_seed(seed))  # not random: one is enough
        labels = [config]
    for label, image in zip(labels, lr, strict=True):
        pictures[label] = as_picture(image[None]).resize(pictures["HR"].size, Image.Resampling.NEAREST)
    with replacing(output) as temporary:
        contact_sheet(pictures).save(temporary, image_format)


def load_config(config: str, overrides: Sequence[str], option: str = "--config") -> dict[str, Any]:
    """Read the configuration of a degradation by name or from a file, and apply `key=value` overrides.

    Messages name the `option` that was given it.

    Raises:
        SRError: no such file, it is not a mapping, or it has no such key.
    """
    path = Path(config) if config.endswith((".yaml", ".yml")) else _config_path(config, option)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SRError(f"can't read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SRError(f"{path} is not the configuration of a degradation: it needs name: ..., and its arguments")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise SRError(f"{override!r} is not key=value, as in usm=false or stages.3.quality=[10, 30]")
        node: Any = content
        *parents, last = (int(part) if part.isdecimal() else part for part in key.split("."))
        try:
            for parent in parents:
                node = node[parent]
            node[last] = yaml.safe_load(value)  # a TypeError if the node is a scalar, which has no keys
        except (KeyError, IndexError, ValueError, TypeError, yaml.YAMLError):
            raise SRError(f"can't set {override!r} in {path}: look at its keys; stages are numbered from 0") from None
    return content


def contact_sheet(pictures: dict[str, Image.Image]) -> Image.Image:
    """Arrange pictures of one size in rows, each below its label, whose lines are wrapped."""
    columns = math.ceil(math.sqrt(len(pictures)))
    width, height = next(iter(pictures.values())).size
    texts = [textwrap.wrap(label, max(8, int(width / LETTER_WIDTH))) for label in pictures]
    above = LINE_HEIGHT * max(len(text) for text in texts) + GAP
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (above + height + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (text, picture) in enumerate(zip(texts, pictures.values(), strict=True)):
        x, y = i % columns * (width + GAP), i // columns * (above + height + GAP)
        for line, words in enumerate(text):
            place = (x + 2, y + 1 + line * LINE_HEIGHT)
            draw.text(place, words, fill="black", font=ImageFont.load_default(FONT_SIZE))
        sheet.paste(picture, (x, y + above))
    return sheet


def _config_path(name: str, option: str) -> Path:
    folder = conf_folder() / "degradation"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise SRError(f"unknown {option} {name}: choose one of {known}, or give a YAML file")
    return path


def _centre(image: Any, crop: int, scale: int) -> Tensor:
    """Return the centre of an image, (1, C, H, W) in [0, 1], with sides at most `crop` and multiples of the scale."""
    sides = [min(size, crop) // scale * scale for size in image.shape[:2]]
    if min(sides) < 1:
        raise SRError(f"the image is {image.shape[1]}x{image.shape[0]}: too small for scale {scale}")
    top, left = ((size - side) // 2 for size, side in zip(image.shape[:2], sides, strict=True))
    return as_floats(as_tensor(image[top : top + sides[0], left : left + sides[1]])[None])
