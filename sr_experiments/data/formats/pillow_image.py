"""PNG, JPEG, WebP, BMP, GIF and AVIF files, read by Pillow, and the writing of PNG, JPEG, WebP and BMP.

PNG and AVIF of more than 8 bits, of which Pillow keeps 8, are read by imagecodecs.
"""

import logging
import math
import struct
import warnings
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sr_experiments.data.depth import Bits
from sr_experiments.data.formats import avif, png
from sr_experiments.data.formats.decoded import (
    Decoded,
    cmyk_to_rgb,
    in_depth,
    split_alpha,
    swaps_axes,
    to_full_range,
    upright,
)
from sr_experiments.data.formats.metadata import ORIENTATION, Metadata, described_appendix, resolution_of

# The only Pillow formats that are opened: Pillow goes by content rather than extension, and some formats (EPS) start
# external programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "AVIF")
_GREY = 0
_BITS, _KIND = 24, 25  # places of bit depth and colour type in a PNG file
HEAD = 26  # bytes at the start of a file that tell its kind

# Pillow warns of large images and refuses twice as large ones; the refusal is enough.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")
# It warns of every interlaced PNG, though it reads them rightly.
logging.getLogger("imagecodecs").setLevel(logging.ERROR)


class PillowImage:
    """An open image file, of which the first picture is meant: further ones of a JPEG are previews or gain maps.

    Args:
        file: that is read from.
        head: its first `HEAD` bytes.

    Raises:
        Exception: whatever Pillow raises on a file that is damaged, not an image or too large.
    """

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self.file = file
        try:
            self.image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError as error:
            if head.startswith(b"\xff\xd8") and (bits := _jpeg_bits(file)) not in (None, 8):
                raise ValueError(f"{bits} bits per channel in a JPEG are not supported, convert it to 8") from error
            raise
        self.info = dict(self.image.info)  # as it is in the file: Pillow changes EXIF and XMP when it turns an image
        self.bits, self.colours = head[_BITS] if head.startswith(png.SIGNATURE) else 8, None
        if self.image.format == "AVIF":
            self.bits, self.colours = avif.depth_and_colours(file)
        self.is_grey_png = head.startswith(png.SIGNATURE) and head[_KIND] == _GREY

    @property
    def several(self) -> str:
        """What it has more than one equal picture of, in words; empty if it has one: frames of an animation."""
        count = 1 if self.image.format in ("JPEG", "MPO") else getattr(self.image, "n_frames", 1)
        return f"has {count} pictures" if count > 1 else ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) when upright, from the header alone."""
        width, height = self.image.size
        return (width, height) if swaps_axes(self._orientation()) else (height, width)

    def read_8_bits(self, channels: int) -> np.ndarray:
        """Read the picture without alpha, uint8 (H, W, channels): RGB, or grey as luma of BT.601."""
        mode = "L" if channels == 1 else "RGB"
        if self.bits > 8:
            return in_depth(self.decode(), channels, 8)
        image = self._upright()
        if image.mode == "CMYK":
            image = cmyk_to_rgb(image, image.info.get("icc_profile"))
        if image.mode == "P":
            image = image.convert("RGBA")  # palette colours can be transparent; converting to RGB would warn
        pixels = np.array(image if image.mode == mode else image.convert(mode))
        return pixels[:, :, None] if channels == 1 else pixels

    def decode(self) -> Decoded:
        """Read the picture: palettes become RGB, black and white becomes grey, CMYK becomes RGB by its profile."""
        icc = self.image.info.get("icc_profile") or None
        if self.bits > 8:
            return self._decode_deep(icc)
        image = self._upright()
        if image.mode == "CMYK":
            return Decoded(np.array(cmyk_to_rgb(image, icc)), None, None, self._lost())
        key = image.info.get("transparency")
        if self.is_grey_png and isinstance(key, int):
            # Pillow scales the pixels, but not always the one grey that is transparent.
            key = 255 * bool(key) if self.bits == 1 else key * 255 // (2**self.bits - 1)
            grey = np.atleast_3d(np.array(image.convert("L")))
            return Decoded(grey, np.where(grey == key, 0, 255).astype(np.uint8), icc)
        transparent = image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info
        mode = ("L" if image.mode in ("1", "L", "LA", "La") else "RGB") + ("A" if transparent else "")
        pixels = np.atleast_3d(np.array(image if image.mode == mode else image.convert(mode)))
        if not transparent:
            return Decoded(pixels, None, icc, self._lost())
        return Decoded(np.ascontiguousarray(pixels[..., :-1]), np.ascontiguousarray(pixels[..., -1:]), icc)

    @property
    def depth(self) -> Bits:
        """Depth of the picture, from the header alone."""
        return 16 if self.bits > 8 else 8

    def metadata(self) -> Metadata:
        """Return what the file says about the picture."""
        image, info = self.image, self.info
        resolution = _resolution(info.get("dpi"))
        if image.format == "PNG":
            return _of_png(self.file, resolution)
        exif, xmp = info.get("exif"), info.get("xmp") or None
        exif = exif.removeprefix(b"Exif\0\0") if exif else None
        segments = [content for name, content in getattr(image, "applist", []) if name == "APP13"]
        return Metadata(
            exif=exif,
            xmp=None if described_appendix(xmp) else xmp,
            iptc=next((content for content in segments if content.startswith(b"Photoshop 3.0\0")), None),
            comment=info.get("comment") if image.format in ("JPEG", "MPO") else None,
            resolution=resolution or resolution_of(exif),
            chunks=(("cICP", self.colours),) if self.colours else (),
        )

    def _orientation(self) -> int:
        """Return the EXIF orientation without decoding the picture, which Pillow would do for a PNG."""
        if self.image.format != "PNG" or "exif" in self.image.info or "Raw profile type exif" in self.image.info:
            return self.image.getexif().get(ORIENTATION, 1)
        if (late := png.late_exif(self.file)) is None:
            return 1
        tags = Image.Exif()
        tags.load(late)
        return tags.get(ORIENTATION, 1)

    def _upright(self) -> Image.Image:
        """Decode the picture and turn it by its EXIF orientation."""
        ImageOps.exif_transpose(self.image, in_place=True)
        return self.image

    def _decode_deep(self, icc: bytes | None) -> Decoded:
        import imagecodecs  # here, since most images don't need it

        self.file.seek(0)
        decode = imagecodecs.avif_decode if self.image.format == "AVIF" else imagecodecs.png_decode
        samples = upright(np.atleast_3d(decode(self.file.read())), self._orientation())
        pixels, alpha = split_alpha(to_full_range(samples, 2**self.bits - 1))
        return Decoded(pixels, alpha, icc, bits=self.bits if self.bits < 16 else None)

    def _lost(self) -> tuple[str, ...]:
        """Name what else a JPEG holds: Pillow tells by the format of a second picture, XMP of a gain map or a video."""
        if described := described_appendix(self.image.info.get("xmp")):
            return (described,)
        return ("the pictures after the first",) if self.image.format == "MPO" else ()


def save_options(image_format: str, icc: bytes | None, metadata: Metadata, quality: int) -> dict[str, Any]:
    """Return the options that Pillow's encoder of a format takes."""
    options: dict[str, Any] = {}
    if metadata.resolution:
        options["dpi"] = metadata.resolution
    if image_format == "BMP":
        return options
    options |= {"quality": quality, "icc_profile": icc}
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    if image_format == "JPEG":
        if quality >= 90:
            options["subsampling"] = 0  # 4:4:4: at high quality, subsampled chroma would be the largest error
        if metadata.comment:
            options["comment"] = metadata.comment
        if metadata.iptc:
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(metadata.iptc) + 2) + metadata.iptc
    return options


def encode_png(content: np.ndarray) -> bytes:
    """Encode 1 to 4 channels, uint8 or uint16."""
    if content.dtype == np.uint8:
        buffer = BytesIO()
        to_image(content).save(buffer, "PNG", compress_level=3)  # a tenth larger than usual, in a third of the time
        return buffer.getvalue()
    import imagecodecs  # here, since most images don't need it

    fast = {"level": 1, "strategy": imagecodecs.PNG.STRATEGY.RLE, "filter": imagecodecs.PNG.FILTER.SUB}
    content = np.ascontiguousarray(content[..., 0] if content.shape[2] == 1 else content)
    return bytes(imagecodecs.png_encode(content, **fast))


def to_image(content: np.ndarray) -> Image.Image:
    """Return an image of Pillow's of uint8 pixels (H, W, C), C from 1 to 4."""
    return Image.fromarray(content[..., 0] if content.shape[2] == 1 else content)


def _jpeg_bits(file: BinaryIO) -> int | None:
    """Return the bits per channel of a JPEG by its frame header, or None if there is none."""
    file.seek(2)
    while len(marker := file.read(4)) == 4 and marker[0] == 0xFF:
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):  # those are no frame headers
            return file.read(1)[0]
        file.seek(int.from_bytes(marker[2:], "big") - 2, 1)
    return None


def _of_png(file: BinaryIO, resolution: tuple[float, float] | None) -> Metadata:
    """Return what a PNG says about its picture: Pillow keeps some chunks only, and finds XMP in one place only."""
    exif, xmp, kept = None, None, []
    for name, content in png.read_chunks(file):
        if name == "eXIf":
            exif = content
            continue
        keyword, text = png.text_of(name, content) if name in png.TEXTS else (b"", b"")
        if keyword == b"Raw profile type exif":
            exif = exif or png.raw_profile(text).removeprefix(b"Exif\0\0")
        elif keyword == b"Raw profile type xmp":
            xmp = xmp or png.raw_profile(text)
        elif keyword == png.XMP_KEY:
            xmp = text
        elif not keyword.startswith(b"Raw profile type"):
            kept.append((name, content))
    return Metadata(
        exif=exif or None,
        xmp=xmp or None,
        resolution=resolution or resolution_of(exif),
        chunks=tuple(kept),
    )


def _resolution(dpi: Any) -> tuple[float, float] | None:
    """Return a resolution in pixels per inch if it is one; PNG's whole pixels per metre make 299.9994 of 300."""
    try:
        x, y = (round(float(value), 2) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0 else None
