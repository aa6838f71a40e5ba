"""Conversion between a video's pixels and RGB, by the colour matrix and range stated in the file.

If a file states no matrix, BT.709 is assumed from 720 lines up, else BT.601; if it states no range, limited range. The
colour tags of the input are copied to the output unchanged, including "unspecified", unless exactly one of the two is
RGB. Sources with more than 8 bits per channel are converted to 16 bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

# Codes of ITU-T H.273, as PyAV and FFmpeg use them.
LIMITED_RANGE, FULL_RANGE = 1, 2
RGB_MATRIX, BT709 = 0, 1
# swscale's names of colour matrices, by their code.
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}

# Flags of swscale; PyAV 17 has no names for them.
SCALER = 0x4 | 0x2000 | 0x40000  # bicubic, full_chroma_int, accurate_rnd: more exact than the defaults
_FULL_CHROMA_INPUT = 0x4000  # average chroma over all pixels instead of taking every second one


@dataclass(frozen=True)
class Colours:
    """Colour tags of a video and the conversion that follows from them."""

    matrix: str  # swscale's name of the YUV matrix
    full_range: bool  # whether black is 0 rather than 16
    tags: dict[str, int]  # colorspace, color_range, color_primaries and color_trc of an encoder or frame, H.273 codes

    @classmethod
    def of(cls, frame: Any, is_rgb: bool) -> "Colours":
        """Return the colours of an output that is encoded from an input frame, as RGB or as YUV."""
        tags = {name: int(getattr(frame, name)) for name in ("color_primaries", "color_trc")}
        if is_rgb:
            return cls("ITU709", True, {"colorspace": RGB_MATRIX, "color_range": FULL_RANGE, **tags})
        if frame.format.is_rgb:
            return cls("ITU709", False, {"colorspace": BT709, "color_range": LIMITED_RANGE, **tags})
        full = is_full_range(frame)
        color_range = FULL_RANGE if full else int(frame.color_range)
        return cls(matrix_of(frame), full, {"colorspace": int(frame.colorspace), "color_range": color_range, **tags})


class ToRGB:
    """Converter of decoded frames to arrays (H, W, 3), uint8, or uint16 if they have more than 8 bits per channel.

    With `always_8_bits`, deeper frames become uint8, too; `threads` is their number, 0 for as many as there are cores.
    """

    def __init__(self, always_8_bits: bool = False, threads: int = 0) -> None:
        from av.video.reformatter import VideoReformatter

        self.always_8_bits = always_8_bits
        self.threads = threads
        self._converter = VideoReformatter()  # keeps swscale's tables from frame to frame

    def __call__(self, frame: Any) -> np.ndarray:
        """Convert a frame."""
        from av.video.reformatter import ColorRange

        yuv_arguments: dict[str, Any] = {}
        if not frame.format.is_rgb:
            yuv_arguments["src_colorspace"] = matrix_of(frame)
            yuv_arguments["src_color_range"] = ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG
        rgb = self._converter.reformat(
            frame,
            format="rgb48le" if depth(frame.format) > 8 and not self.always_8_bits else "rgb24",
            interpolation=SCALER,
            dst_color_range=ColorRange.JPEG,  # FFmpeg's name of full range
            threads=self.threads,
            **yuv_arguments,
        )
        return rgb.to_ndarray()


class FromRGB:
    """Converter of uint8 or uint16 arrays (H, W, 3) to frames of the colours and pixel format of an encoder."""

    def __init__(self, colours: Colours, pix_fmt: str) -> None:
        from av.video.reformatter import VideoReformatter

        self.colours = colours
        self.pix_fmt = pix_fmt
        self._converter = VideoReformatter()

    def __call__(self, pixels: np.ndarray) -> Any:
        """Convert an array."""
        from av import VideoFrame
        from av.video.reformatter import ColorRange

        rgb = VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels), format="rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        )
        rgb.colorspace = RGB_MATRIX
        matrix: dict[str, Any] = {}
        if self.colours.tags["colorspace"] != RGB_MATRIX:
            matrix["dst_colorspace"] = self.colours.matrix
        frame = self._converter.reformat(
            rgb,
            format=self.pix_fmt,
            interpolation=SCALER | _FULL_CHROMA_INPUT,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if self.colours.full_range else ColorRange.MPEG,
            **matrix,
        )
        for name, value in self.colours.tags.items():  # reformat sets tags of its own
            setattr(frame, name, value)
        return frame


def matrix_of(frame: Any) -> str:
    """Return swscale's name of a YUV frame's colour matrix: by default BT.709 from 720 lines up, else BT.601."""
    return _MATRICES.get(int(frame.colorspace), "ITU709" if frame.height >= 720 else "ITU601")


def is_full_range(frame: Any) -> bool:
    """Return whether black is 0 rather than 16; the formats yuvj* and gray imply it."""
    return frame.color_range == FULL_RANGE or frame.format.name.startswith(("yuvj", "gray"))


def depth(pix_fmt: Any) -> int:
    """Return the bits per channel of PyAV's VideoFormat."""
    return max(component.bits for component in pix_fmt.components)
