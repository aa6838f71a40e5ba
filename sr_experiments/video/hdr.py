"""Static metadata of HDR video: the mastering display (SMPTE ST 2086) and the content's light level (CTA-861.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

# What an encoder writes them with: its option of parameters, and the names of the two in it.
_PARAMETERS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}
_DISPLAY, _LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"
STATIC = {_DISPLAY, _LIGHT}  # PyAV's names of their side data


@dataclass(frozen=True)
class HDRMetadata:
    """What a frame says about the display it was made on, and about its film's light; either may be unknown.

    Attributes:
        display: chromaticities x, y of red, green, blue and white, and the smallest and largest luminance, in cd/m^2.
        light: largest light of a pixel (MaxCLL) and of a frame's average (MaxFALL), in cd/m^2.
    """

    display: Sequence[Fraction] | None = None
    light: tuple[int, int] | None = None

    @classmethod
    def of(cls, frame: Any) -> "HDRMetadata":
        """Return what PyAV's VideoFrame states."""
        display, light = None, None
        for i in range(len(frame.side_data)):
            data = frame.side_data[i]
            if data.type.name == _DISPLAY:
                numbers = np.frombuffer(bytes(data), np.int32)[:22].tolist()  # FFmpeg's AVMasteringDisplayMetadata
                if all(numbers[1:20:2]) and all(numbers[20:]):  # denominators; whether it states either half
                    display = [Fraction(*numbers[j : j + 2]) for j in range(0, 20, 2)]
            elif data.type.name == _LIGHT:
                light = (*np.frombuffer(bytes(data), np.uint32)[:2].tolist(),)
        return cls(display, light if light and any(light) else None)

    def options(self, encoder: str) -> dict[str, str]:
        """Return the option with which an encoder writes them; empty if there is nothing, or if it can't."""
        if encoder not in _PARAMETERS or self == HDRMetadata():
            return {}
        option, display_name, light_name = _PARAMETERS[encoder]
        parts = []
        if self.display is not None:
            # AV1's encoder takes decimals, the others whole numbers of steps of 0.00002 and of 0.0001 cd/m^2.
            whole = encoder != "libsvtav1"
            red, green, blue, white = (
                ",".join(
                    str(round(value * 50_000)) if whole else f"{float(value):.5f}" for value in self.display[j : j + 2]
                )
                for j in range(0, 8, 2)
            )
            least, most = (str(round(value * 10_000)) if whole else f"{float(value):.4f}" for value in self.display[8:])
            parts.append(f"{display_name}=G({green})B({blue})R({red})WP({white})L({most},{least})")
        if self.light is not None:
            parts.append(f"{light_name}={self.light[0]},{self.light[1]}")
        return {option: ":".join(parts)}
