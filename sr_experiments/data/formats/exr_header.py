"""What the header of an OpenEXR file says about the picture, and how that changes when the picture is enlarged."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sr_experiments.data.formats.axis import Axis

# What tells how the file is laid out, and previews of the picture.
_LAYOUT = {
    *("channels", "compression", "lineOrder", "tiles", "type", "version", "chunkCount", "maxSamplesPerPixel", "name"),
    *("dataWindow", "displayWindow", "preview", "dwaCompressionLevel", "zipCompressionLevel"),
}

Window = tuple[int, int, int, int]  # left, top, and the places behind the right and the bottom pixel


@dataclass(frozen=True)
class ExrHeader:
    """Attributes of a picture.

    Attributes:
        values: of the attributes that don't depend on the size, such as chromaticities, by name.
        names: of the channels, in alphabetical order.
        place: left and top of the picture's first pixel in the coordinates of the display window.
        display: the display window; None if the picture fills it.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    place: tuple[int, int] = (0, 0)
    display: Window | None = None

    @classmethod
    def read(cls, header: Mapping[str, Any]) -> "ExrHeader":
        """Take the attributes from OpenEXR's header."""
        values = {name: value for name, value in header.items() if name not in _LAYOUT}
        data, display = _window(header["dataWindow"]), _window(header["displayWindow"])
        names = tuple(channel.name for channel in header["channels"])
        return cls(values, names, data[:2], None if data == display else display)

    def described(self) -> list[str]:
        """Return the names of the attributes that differ from those of a picture that says nothing, in order."""
        usual = {"pixelAspectRatio": 1.0, "screenWindowCenter": [0, 0], "screenWindowWidth": 1.0}
        said = [name for name, value in self.values.items() if name not in usual or np.any(usual[name] != value)]
        return sorted([*said, *(["displayWindow"] if self.display else [])])

    def enlarged(self, down: Axis, across: Axis) -> "ExrHeader":
        """Return the header of the enlarged picture."""
        x, y = self.place
        display = self.display
        if display is not None:
            left, top, right, bottom = display
            left, right = (round(edge * across.factor) for edge in (left, right))
            top, bottom = (round(edge * down.factor) for edge in (top, bottom))
            display = left, top, right, bottom
        return replace(self, place=(round(x * across.factor), round(y * down.factor)), display=display)

    def attributes(self, height: int, width: int) -> dict[str, Any]:
        """Return OpenEXR's header for a picture of this size."""
        x, y = self.place
        data = x, y, x + width, y + height
        windows = {"dataWindow": _as_box(data), "displayWindow": _as_box(self.display or data)}
        return {**self.values, **windows}


def _window(box: Any) -> Window:
    (left, top), (right, bottom) = box
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def _as_box(window: Window) -> tuple[np.ndarray, np.ndarray]:
    left, top, right, bottom = window
    return np.array([left, top], np.int32), np.array([right - 1, bottom - 1], np.int32)
