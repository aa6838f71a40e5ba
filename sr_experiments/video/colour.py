"""Conversion between a video's pixels and RGB, by the colour matrix and range stated in the file.

If a file states no matrix, BT.709 is assumed from 720 lines up, else BT.601; if it states no range, limited range. The
colour tags of the input are copied to the output unchanged, including "unspecified", unless exactly one of the two is
RGB. Sources with more than 8 bits per channel are converted to 16 bits.

FFmpeg's swscale takes 65280 of 65535 for white there, and rounds chroma down in full range. It therefore only resamples
chroma, and depths above 8 bits and all encoding go through the formulae of H.273: nominal white is the largest value of
RGB, black is 0.

Alpha is straight and always of full range, whatever the range of the colours.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sr_experiments.data.depth import to_depth

# Codes of ITU-T H.273, as PyAV and FFmpeg use them.
LIMITED_RANGE, FULL_RANGE = 1, 2
RGB_MATRIX, BT709, UNSPECIFIED_MATRIX = 0, 1, 2
# swscale's names of colour matrices, by their code.
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}

# Flags of swscale; PyAV 17 has no names for them.
SCALER = 0x4 | 0x2000 | 0x40000  # bicubic, full_chroma_int, accurate_rnd: more exact than the defaults
_FULL_CHROMA_INPUT = 0x4000  # average chroma over all pixels instead of taking every second one

# Shares of red and of blue in luma (H.273, table 4), by swscale's names.
_LUMA = {
    "ITU709": (0.2126, 0.0722),
    "FCC": (0.3, 0.11),
    "ITU601": (0.299, 0.114),
    "SMPTE240M": (0.212, 0.087),
    "BT2020": (0.2627, 0.0593),
}


def _bayer(size: int) -> np.ndarray:
    """Return Bayer's matrix of thresholds, (size, size), a permutation of 0 to size^2 - 1."""
    if size == 1:
        return np.zeros((1, 1), np.uint16)
    half = 4 * _bayer(size // 2)
    return np.block([[half, half + 2], [half + 3, half + 1]]).astype(np.uint16)


_DITHER = 4 * _bayer(8) + 2  # of 256ths


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

    def as_read(self, frame: Any) -> "Colours":
        """Return the colours with which an output is read, given its first frame as decoded.

        Others than these where its format fixes them or can't state them: VP8 is BT.601, ProRes of limited range.
        """
        if frame.format.is_rgb or len(frame.format.components) < 3:
            return self
        matrix, full = matrix_of(frame), is_full_range(frame)
        if (matrix, full) == (self.matrix, self.full_range):
            return self
        stated = {"colorspace": int(frame.colorspace), "color_range": int(frame.color_range)}
        return Colours(matrix, full, {**self.tags, **stated})

    def words(self) -> str:
        """Return matrix and range, for messages."""
        names = {"ITU709": "BT.709", "ITU601": "BT.601", "SMPTE240M": "SMPTE 240M", "BT2020": "BT.2020"}
        return f"{names.get(self.matrix, self.matrix)}, {'full' if self.full_range else 'limited'} range"


class ToRGB:
    """Converter of decoded frames to arrays (H, W, 3), uint8, or uint16 if they have more than 8 bits per channel.

    With `always_8_bits`, deeper frames become uint8, too; with `alpha`, which frames must have, arrays are (H, W, 4).
    `threads` is the number of threads, 0 for as many as there are cores.
    """

    def __init__(self, always_8_bits: bool = False, threads: int = 0, alpha: bool = False) -> None:
        from av.video.reformatter import VideoReformatter

        self.always_8_bits = always_8_bits
        self.threads = threads
        self.alpha = alpha
        self._converter = VideoReformatter()  # keeps swscale's tables from frame to frame

    def __call__(self, frame: Any) -> np.ndarray:
        """Convert a frame."""
        bits = depth(frame.format)
        top = 255 if bits == 8 or self.always_8_bits else 65535
        if bits > 8 and frame.format.name.startswith("gray"):
            rgb = cv2.merge([_scaled(_plane(frame, 0, bits), 2**bits - 1, top)] * 3)
        elif bits > 8 and not frame.format.is_rgb:
            planar = self._reformat(frame, f"yuv444p{bits}le", is_full_range(frame))
            levels = cv2.merge([_plane(planar, i, bits) for i in range(3)])
            matrix = yuv_to_rgb(matrix_of(frame), is_full_range(frame), bits)
            rgb = cv2.transform(levels, top * matrix).astype(np.uint8 if top == 255 else np.uint16)
        else:
            rgb = self._reformat(frame, "rgb24" if top == 255 else "rgb48le", full_range=True).to_ndarray()
        return np.dstack((rgb, self._alpha(frame, bits, top))) if self.alpha else rgb

    def _alpha(self, frame: Any, bits: int, top: int) -> np.ndarray:
        """Return alpha (H, W), from 0 to `top`."""
        if not frame.format.is_planar:
            packed = self._converter.reformat(frame, format="rgba" if bits == 8 else "rgba64le").to_ndarray()
            return _scaled(packed[..., 3], 255 if bits == 8 else 65535, top)
        return _scaled(_plane(frame, 3, bits), 2**bits - 1, top)

    def _reformat(self, frame: Any, pix_fmt: str, full_range: bool) -> Any:
        from av.video.reformatter import ColorRange

        arguments: dict[str, Any] = {}
        if not frame.format.is_rgb:
            arguments["src_colorspace"] = matrix_of(frame)
            if pix_fmt.startswith("yuv"):
                arguments["dst_colorspace"] = matrix_of(frame)
            arguments["src_color_range"] = ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG
        return self._converter.reformat(
            frame,
            format=pix_fmt,
            interpolation=SCALER,
            dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,  # JPEG: FFmpeg's name of full range
            threads=self.threads,
            **arguments,
        )


class FromRGB:
    """Converter of uint8 or uint16 arrays to frames of the colours and pixel format of an encoder.

    Arrays are (H, W, 3), or (H, W, 4) for a pixel format with alpha.
    """

    def __init__(self, colours: Colours, pix_fmt: str) -> None:
        from av import VideoFormat
        from av.video.reformatter import VideoReformatter

        self.colours = colours
        self.pix_fmt = pix_fmt
        self._format = VideoFormat(pix_fmt)
        self._converter = VideoReformatter()

    def __call__(self, pixels: np.ndarray) -> Any:
        """Convert an array."""
        frame = self._rgb(pixels) if self._format.is_rgb else self._yuv(pixels)
        for name, value in self.colours.tags.items():  # reformat sets tags of its own
            setattr(frame, name, value)
        return frame

    def _rgb(self, pixels: np.ndarray) -> Any:
        from av import VideoFrame

        if depth(self._format) == 8:
            pixels = to_depth(pixels, 8)
        kinds = {(3, 1): "rgb24", (3, 2): "rgb48le", (4, 1): "rgba", (4, 2): "rgba64le"}
        given = kinds[pixels.shape[2], pixels.itemsize]
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=given)
        return self._converter.reformat(rgb, format=self.pix_fmt, interpolation=SCALER)

    def _yuv(self, pixels: np.ndarray) -> Any:
        from av import VideoFrame
        from av.video.reformatter import ColorRange

        bits, top = depth(self._format), np.iinfo(pixels.dtype).max
        full = self.colours.full_range or self._format.name.startswith("gray")
        height, width = pixels.shape[:2]
        frame = VideoFrame(width, height, "yuv444p" if bits == 8 else f"yuv444p{bits}le")
        rgb = np.ascontiguousarray(pixels[..., :3], np.uint16)
        dithered = bits == 8 and top == 65535
        fine = 16 if dithered else bits
        matrix = rgb_to_yuv(self.colours.matrix, full, bits) * 2 ** (fine - bits)
        matrix[:, :3] /= top
        for i in range(3):
            levels = cv2.transform(rgb, matrix[i : i + 1])  # (H, W), rounded, 0 to 65535
            _set_plane(frame, i, _dithered(levels) if dithered else np.minimum(levels, 2**bits - 1))
        color_range = ColorRange.JPEG if full else ColorRange.MPEG
        matrix_name: Any = self.colours.matrix
        frame = self._converter.reformat(
            frame,
            format=self.pix_fmt,
            interpolation=SCALER | _FULL_CHROMA_INPUT,
            src_colorspace=matrix_name,
            dst_colorspace=matrix_name,
            src_color_range=color_range,
            dst_color_range=color_range,
        )
        if pixels.shape[2] == 4:
            _set_plane(frame, 3, _scaled(pixels[..., 3], top, 2**bits - 1))
        return frame


def yuv_to_rgb(matrix: str, full_range: bool, bits: int) -> np.ndarray:
    """Return the affine matrix (3, 4) from YUV levels of `bits` bits to RGB in [0, 1] (H.273, equations 38 to 43).

    The matrix is of swscale's name.
    """
    forward = np.vstack((rgb_to_yuv(matrix, full_range, bits), (0, 0, 0, 1)))
    return np.linalg.inv(forward)[:3]


def rgb_to_yuv(matrix: str, full_range: bool, bits: int) -> np.ndarray:
    """Return the affine matrix (3, 4) from RGB in [0, 1] to YUV levels of `bits` bits; see `yuv_to_rgb`."""
    red, blue = _LUMA[matrix]
    luma = np.array((red, 1 - red - blue, blue))
    chroma = [(np.eye(3)[channel] - luma) / (2 - 2 * luma[channel]) for channel in (2, 0)]  # of blue, of red
    step = 2 ** (bits - 8)
    spans = [2**bits - 1] * 3 if full_range else [219 * step, 224 * step, 224 * step]
    offsets = [0 if full_range else 16 * step, 128 * step, 128 * step]
    return np.column_stack((np.stack([luma, *chroma]) * np.array(spans)[:, None], offsets))


def has_alpha(pix_fmt: Any) -> bool:
    """Return whether PyAV's VideoFormat has an alpha channel."""
    return any(component.is_alpha for component in pix_fmt.components)


def _plane(frame: Any, number: int, bits: int) -> np.ndarray:
    """Return a view of a full-size plane, (H, W)."""
    plane = frame.planes[number]
    return np.frombuffer(plane, np.uint8 if bits == 8 else "<u2").reshape(plane.height, -1)[:, : plane.width]


def _set_plane(frame: Any, number: int, levels: np.ndarray) -> None:
    plane = frame.planes[number]
    dtype = np.uint8 if depth(frame.format) == 8 else np.dtype("<u2")
    padded = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
    padded[:, : plane.width] = levels
    plane.update(padded)


def _scaled(levels: np.ndarray, before: int, after: int) -> np.ndarray:
    """Scale whole numbers from 0 to `before` to 0 to `after`, rounded."""
    if before == after:
        return levels
    return np.rint(levels * np.float32(after / before)).astype(np.uint8 if after == 255 else np.uint16)


def _dithered(levels: np.ndarray) -> np.ndarray:
    """Reduce levels of 16 bits to 8 by an ordered dither, which avoids banding and leaves whole levels as they are."""
    height, width = levels.shape
    pattern = np.tile(_DITHER, (-(-height // 8), -(-width // 8)))[:height, :width]
    return (np.minimum(levels, 65535 - 255) + pattern) >> 8


def matrix_of(frame: Any) -> str:
    """Return swscale's name of a YUV frame's colour matrix: by default BT.709 from 720 lines up, else BT.601."""
    return _MATRICES.get(int(frame.colorspace), "ITU709" if frame.height >= 720 else "ITU601")


def is_known_matrix(frame: Any) -> bool:
    """Return whether the colour matrix that a YUV frame states is one of those that are converted, or unspecified."""
    return int(frame.colorspace) in (*_MATRICES, UNSPECIFIED_MATRIX) or len(frame.format.components) < 3


def is_full_range(frame: Any) -> bool:
    """Return whether black is 0 rather than 16; the formats yuvj* and gray imply it."""
    return frame.color_range == FULL_RANGE or frame.format.name.startswith(("yuvj", "gray"))


def depth(pix_fmt: Any) -> int:
    """Return the bits per channel of PyAV's VideoFormat; a palette's are 8."""
    return max(component.bits for component in pix_fmt.components)
