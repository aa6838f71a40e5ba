"""From a video's pixels to RGB and back, by the colour matrix and the range that the file states.

Where a file states no matrix, it is BT.709 from 720 lines up, else BT.601; where it states no range, limited.
The tags of the input go into the output as they are, also where they are "unspecified", unless the output is RGB
and the input isn't or the other way round. Sources of more than 8 bits a channel are computed in 16 bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sr_experiments.video.decode import FULL_RANGE, SCALER, is_full_range, matrix_of

LIMITED_RANGE = 1
RGB_MATRIX, BT709 = 0, 1  # ITU-T H.273
_FULL_CHROMA_INPUT = 0x4000  # of swscale: chroma is averaged from all pixels


@dataclass(frozen=True)
class Colours:
    """The colours of a video: its tags, and what they mean for a conversion.

    Attributes:
        matrix: swscale's name of the YUV matrix.
        full_range: whether black is 0.
        tags: of an encoder or a frame: `colorspace`, `color_range`, `color_primaries`, `color_trc`, by H.273.
    """

    matrix: str
    full_range: bool
    tags: dict[str, int]

    @classmethod
    def of(cls, frame: Any, is_rgb: bool) -> "Colours":
        """Of a video like this frame, encoded as RGB or as YUV."""
        tags = {name: int(getattr(frame, name)) for name in ("color_primaries", "color_trc")}
        if is_rgb:
            return cls("ITU709", True, {"colorspace": RGB_MATRIX, "color_range": FULL_RANGE, **tags})
        if frame.format.is_rgb:
            return cls("ITU709", False, {"colorspace": BT709, "color_range": LIMITED_RANGE, **tags})
        full = is_full_range(frame)
        color_range = FULL_RANGE if full else int(frame.color_range)
        return cls(matrix_of(frame), full, {"colorspace": int(frame.colorspace), "color_range": color_range, **tags})


class ToRGB:
    """Convert decoded frames to uint8 arrays (H, W, 3), or uint16 where they have more than 8 bits a channel."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._converter = VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        """Convert one."""
        from av.video.reformatter import ColorRange

        given: dict[str, Any] = {}
        if not frame.format.is_rgb:
            given["src_colorspace"] = matrix_of(frame)
            given["src_color_range"] = ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG
        rgb = self._converter.reformat(
            frame,
            format="rgb48le" if depth(frame.format) > 8 else "rgb24",
            interpolation=SCALER,
            dst_color_range=ColorRange.JPEG,
            **given,
        )
        return rgb.to_ndarray()


class FromRGB:
    """Convert uint8 or uint16 arrays (H, W, 3) to frames for an encoder.

    Args:
        colours: of the output.
        pix_fmt: FFmpeg's name of the pixel format.
    """

    def __init__(self, colours: Colours, pix_fmt: str) -> None:
        from av.video.reformatter import VideoReformatter

        self.colours = colours
        self.pix_fmt = pix_fmt
        self._converter = VideoReformatter()

    def __call__(self, pixels: np.ndarray) -> Any:
        """Convert one."""
        from av import VideoFrame
        from av.video.reformatter import ColorRange

        rgb = VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels), format="rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        )
        rgb.colorspace = RGB_MATRIX
        given: dict[str, Any] = {}
        if self.colours.tags["colorspace"] != RGB_MATRIX:
            given["dst_colorspace"] = self.colours.matrix
        frame = self._converter.reformat(
            rgb,
            format=self.pix_fmt,
            interpolation=SCALER | _FULL_CHROMA_INPUT,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if self.colours.full_range else ColorRange.MPEG,
            **given,
        )
        for name, value in self.colours.tags.items():
            setattr(frame, name, value)
        return frame


def depth(pix_fmt: Any) -> int:
    """Bits a channel of PyAV's VideoFormat."""
    return max(component.bits for component in pix_fmt.components)
