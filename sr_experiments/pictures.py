"""Pictures to look at: tensors as images, images beside each other with labels."""

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from torch import Tensor

GAP = 4
LABEL_HEIGHT = 20


def labelled(pictures: dict[str, Image.Image]) -> Image.Image:
    """Pictures of one size beside each other, each below its label."""
    width, height = next(iter(pictures.values())).size
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height + LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (label, picture) in enumerate(pictures.items()):
        x = i * (width + GAP)
        draw.text((x + 2, 3), label, fill="black", font=ImageFont.load_default(13))
        sheet.paste(picture, (x, LABEL_HEIGHT))
    return sheet


def as_picture(tile: "Tensor") -> Image.Image:
    """A tensor (1, C, H, W) in [0, 1] as an 8-bit RGB image."""
    pixels = tile[0].float().mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()  # (H, W, C)
    if pixels.shape[2] not in (1, 3):
        pixels = pixels[..., :1]
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).convert("RGB")
