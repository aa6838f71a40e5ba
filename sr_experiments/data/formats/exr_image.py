"""OpenEXR files, whose numbers are linear in light, by the package OpenEXR, the extra `exr`.

Their alpha is associated: colours are multiplied by it.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sr_experiments.data.depth import Bits, in_range
from sr_experiments.data.formats.decoded import Decoded, check_pixels, unassociate
from sr_experiments.data.formats.exr_header import ExrHeader
from sr_experiments.data.formats.metadata import Metadata
from sr_experiments.packages.extras import MissingExtra, install_extra

SIGNATURE = b"\x76\x2f\x31\x01"
EXTENSIONS = (".exr",)
_COLOURS = (("R", "G", "B"), ("Y",))
_ROUNDED = 1 + 2**-9  # what white may become when numbers of 16 bits are divided by alpha


def is_installed() -> bool:
    """Return whether OpenEXR is installed."""
    return importlib.util.find_spec("OpenEXR") is not None


class ExrImage:
    """An open OpenEXR file, of whose parts the first is meant.

    Args:
        file: that is read from.

    Raises:
        MissingExtra: OpenEXR is not installed.
        Exception: whatever it raises on a file that is damaged, or too large.
    """

    several = ""  # equal pictures, as of `PillowImage`
    depth: Bits = "float"

    def __init__(self, file: BinaryIO) -> None:
        if not is_installed():
            raise MissingExtra(f"EXR needs OpenEXR: {install_extra('exr')}, or convert it to TIFF")
        self.file = file
        self.header = header = self._part(header_only=True).header
        (left, top), (right, bottom) = header["dataWindow"]
        self.size = int(bottom - top) + 1, int(right - left) + 1
        self.names = [channel.name for channel in header["channels"]]
        if "deep" in str(header["type"]):
            raise ValueError("it is a deep image: flatten it")
        if any((channel.xSampling, channel.ySampling) != (1, 1) for channel in header["channels"]):
            raise ValueError("its channels are subsampled, convert it to RGB")
        check_pixels(self.size[0] * self.size[1])

    @property
    def bands(self) -> int | None:
        """Number of bands of a picture that is neither grey nor RGB; None if it is."""
        return None if any(set(colours) <= set(self.names) for colours in _COLOURS) else len(self.names)

    def decode(self) -> Decoded:
        """Read the picture: its channels R, G and B, or Y, divided by its alpha A."""
        colours = next((colours for colours in _COLOURS if set(colours) <= set(self.names)), None)
        if colours is None:
            raise ValueError(f"its channels are {', '.join(self.names)}, and not R, G, B or Y; convert it to RGB")
        with_alpha = "A" in self.names
        samples = self._read((*colours, *(["A"] if with_alpha else [])))
        pixels, alpha = samples[..., : len(colours)], samples[..., len(colours) :] if with_alpha else None
        lost = [*self._unread()]
        if alpha is not None:
            in_range(alpha)
            if pixels[alpha[..., 0] == 0].any():  # light that covers nothing, such as fire
                lost.append("colours of transparent pixels")
            pixels = unassociate(pixels, alpha)
            pixels[(pixels > 1) & (pixels <= _ROUNDED)] = 1
        further = set(self.names) - {*colours, "A"}
        if further:
            lost.insert(0, f"{len(further)} further channel{'s' * (len(further) > 1)}")
        return Decoded(pixels, alpha, None, tuple(lost), linear=True)

    def decode_bands(self) -> Decoded:
        """Read all channels, in the order of the file: by name."""
        return Decoded(self._read(self.names), lost=self._unread(), linear=True)

    def metadata(self) -> Metadata:
        """Return what the header says about the picture, for another EXR file."""
        return Metadata(exr=ExrHeader.read(self.header))

    def _unread(self) -> tuple[str, ...]:
        parts = len(self._parts(header_only=True))
        return (f"{parts - 1} further part{'s' * (parts > 2)}",) if parts > 1 else ()

    def _read(self, names: Sequence[str]) -> np.ndarray:
        """Read channels as float32 (H, W, C)."""
        channels = self._part().channels
        return np.stack([np.asarray(channels[name].pixels, np.float32) for name in names], 2)

    def _part(self, header_only: bool = False) -> Any:
        return self._parts(header_only)[0]

    def _parts(self, header_only: bool = False) -> list[Any]:
        import OpenEXR  # here, since most images don't need it

        self.file.seek(0)
        try:
            file = OpenEXR.File(self.file, separate_channels=True, header_only=header_only, num_threads=0)
        except RuntimeError as error:  # it names its own buffer
            raise ValueError("damaged") from error
        return file.parts  # type: ignore[no-any-return]


def write(path: Path, pixels: np.ndarray, alpha: np.ndarray | None, header: ExrHeader | None) -> None:
    """Write float32 pixels (H, W, C), linear in light: Y, R, G and B, or bands, whose names the header may have.

    Args:
        path: of the file.
        pixels: not multiplied by alpha.
        alpha: (H, W, 1), or None.
        header: of the file that the picture is from, or None.
    """
    import OpenEXR

    header = header or ExrHeader()
    bands = header.names if len(header.names) == pixels.shape[2] else _numbered(pixels.shape[2])
    names = {1: ("Y",), 3: ("R", "G", "B")}.get(pixels.shape[2], bands)
    if alpha is not None:
        pixels, names = np.concatenate((pixels * alpha, alpha), 2), (*names, "A")
    channels = {name: np.ascontiguousarray(pixels[..., i], np.float32) for i, name in enumerate(names)}
    settings = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File({**header.attributes(*pixels.shape[:2]), **settings}, channels).write(str(path))


def _numbered(count: int) -> tuple[str, ...]:
    """Return names whose alphabetical order is that of the bands."""
    return tuple(f"B{number:02d}" for number in range(1, count + 1))
