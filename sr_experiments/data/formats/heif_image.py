"""HEIC files, as phones write them, by libheif through pillow-heif, the extra `heic`."""

import importlib.util
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sr_experiments.data.depth import Bits
from sr_experiments.data.formats.avif import cicp
from sr_experiments.data.formats.decoded import (
    Decoded,
    check_pixels,
    split_alpha,
    to_full_range,
    to_levels,
)
from sr_experiments.data.formats.metadata import Metadata, colour_codes, described_appendix, resolution_of
from sr_experiments.packages.extras import MissingExtra, install_extra

EXTENSIONS = (".heic", ".heif", ".hif")
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def is_installed() -> bool:
    """Return whether pillow-heif is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


class HeifImage:
    """An open HEIC file, of which the primary picture is meant; libheif turns it upright.

    Args:
        file: that is read from.

    Raises:
        MissingExtra: pillow-heif is not installed.
        Exception: whatever it raises on a file that is damaged, or too large.
    """

    several = ""  # equal pictures, as of `PillowImage`

    def __init__(self, file: BinaryIO) -> None:
        if not is_installed():
            raise MissingExtra(f"HEIC needs pillow-heif: {install_extra('heic')}, or convert it to PNG")
        import pillow_heif  # here, since most images don't need it

        heif = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
        self.others = len(heif) - 1
        self.image: Any = heif[heif.primary_index]
        check_pixels(math.prod(self.image.size))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) when upright, from the header alone."""
        width, height = self.image.size
        return height, width

    @property
    def depth(self) -> Bits:
        """Depth of the picture, from the header alone."""
        return 16 if int(self.image.info["bit_depth"]) > 8 else 8

    def decode(self) -> Decoded:
        """Read the picture."""
        info, bits = self.image.info, int(self.image.info["bit_depth"])
        samples = np.atleast_3d(np.array(self.image))
        if samples.dtype == np.uint16:  # its bits are the upper ones, so that white is less than 65535
            samples = to_full_range(samples >> (16 - bits), 2**bits - 1)
        pixels, alpha = split_alpha(samples)
        lost = [
            name
            for name, is_lost in (
                ("the other pictures", self.others),
                ("the depth map", info["depth_images"]),
                (described_appendix(info.get("xmp")) or "auxiliary pictures", info.get("aux")),
            )
            if is_lost
        ]
        return Decoded(pixels, alpha, info.get("icc_profile") or None, tuple(lost), bits)

    def metadata(self) -> Metadata:
        """Return what the file says about the picture."""
        exif, xmp = self.image.info.get("exif"), self.image.info.get("xmp") or None
        exif = exif.removeprefix(b"Exif\0\0") if exif else None
        codes = self.image.info.get("nclx_profile") or {}
        colours = cicp(int(codes.get("color_primaries", 2)), int(codes.get("transfer_characteristics", 2)))
        return Metadata(
            exif,
            None if described_appendix(xmp) else xmp,
            resolution=resolution_of(exif),
            chunks=(("cICP", colours),) if colours else (),
        )


def write(
    path: Path, content: np.ndarray, bits: int, quality: int | None, icc: bytes | None, metadata: Metadata
) -> None:
    """Write 1 to 4 channels in 8, 10 or 12 bits; without a quality lossless, which takes RGB in the place of YUV."""
    import pillow_heif  # here, since most images don't need it

    (levels, bits), deep = to_levels(content, bits), content.dtype == np.uint16
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[content.shape[2]] + (";16" if deep else "")
    levels = np.ascontiguousarray(levels << (16 - bits) if deep else levels)
    image = pillow_heif.from_bytes(mode, (content.shape[1], content.shape[0]), levels.tobytes())
    primaries, transfer = colour_codes(icc, metadata)
    options: dict[str, Any] = {"color_primaries": primaries, "transfer_characteristics": transfer}
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    if icc:
        options |= {"icc_profile": icc, "icc_profile_type": "prof"}
    if quality is None:
        options |= {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    else:
        options |= {"quality": quality, "chroma": 444 if quality >= 90 else 420}
    with path.open("wb") as file:
        image.save(file, bit_depth=bits, **options)
