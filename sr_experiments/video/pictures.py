"""What clips of pictures have in common: folders of frames, and animated images."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from sr_experiments.video.colour import BT709, LIMITED_RANGE


class PictureSource:
    """Frames that are pictures, upright and with 8 bits per channel; attributes as of `VideoSource`.

    Args:
        path: the file, or the folder of frames.
        size: (width, height).
        stamps: when each frame is shown, in units of `time_base`.
        end: when the last one ends.
        time_base: in seconds.
        alpha: whether frames have an alpha channel.
        notes: about the file, for the user.
    """

    codec: str | None = None
    aspect: Fraction | None = None
    matrix: Sequence[int] | None = None
    on_its_side = False

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        stamps: Sequence[int],
        end: int,
        time_base: Fraction,
        alpha: bool,
        notes: list[str],
    ) -> None:
        self.path, self.size, self.stamps, self.end, self.time_base = path, size, stamps, end, time_base
        self.rate = len(stamps) / ((end - stamps[0]) * time_base)
        self.alpha, self.notes = alpha, notes
        # It stands for the format of the input: encoded like it, a video plays everywhere.
        self.first: Any = blank_frame(*size, "yuva420p" if alpha else "yuv420p")

    def __len__(self) -> int:
        return len(self.stamps)


def blank_frame(width: int, height: int, pix_fmt: str, color_range: int = LIMITED_RANGE) -> Any:
    """Return PyAV's VideoFrame with the tags of BT.709."""
    from av import VideoFrame

    frame: Any = VideoFrame(width, height, pix_fmt)
    frame.colorspace = frame.color_primaries = frame.color_trc = BT709
    frame.color_range = color_range
    return frame
