"""GeoTIFF tags: where pixels lie on Earth, and how that changes when the picture is enlarged (OGC GeoTIFF 1.1).

Also GDAL's tags: the value of pixels without data, and metadata in XML.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sr_experiments.data.formats.axis import Axis

_SCALE, _TIE_POINTS, _TRANSFORMATION = 33550, 33922, 34264
_KEYS, _DOUBLES, _TEXTS = 34735, 34736, 34737  # the keys, and values of keys
_GDAL_METADATA, _NO_DATA = 42112, 42113
_RPC = 50844  # coefficients of a camera on a satellite
_RASTER_TYPE, _IS_POINT = 1025, 2
_SHORT, _ASCII, _DOUBLE = 3, 2, 12  # types of tags
_STATISTICS = re.compile(r'\s*<Item name="STATISTICS_[^>]*>[^<]*</Item>')  # of the pixels before

TAGS = (_SCALE, _TIE_POINTS, _TRANSFORMATION, _KEYS, _DOUBLES, _TEXTS, _GDAL_METADATA, _NO_DATA)


@dataclass(frozen=True)
class GeoTags:
    """The tags of a picture.

    Attributes:
        scale: ModelPixelScale, 3 numbers, or none.
        tie_points: ModelTiepoint, 6 numbers for each: column, row and depth, and the same in the model.
        transformation: ModelTransformation, a matrix of 4x4 numbers, row by row, or none.
        keys: GeoKeyDirectory.
        doubles: GeoDoubleParams.
        texts: GeoAsciiParams.
        gdal: GDAL's metadata.
        no_data: the value of pixels without data, as text; empty if there is none.
    """

    scale: tuple[float, ...] = ()
    tie_points: tuple[float, ...] = ()
    transformation: tuple[float, ...] = ()
    keys: tuple[int, ...] = ()
    doubles: tuple[float, ...] = ()
    texts: str = ""
    gdal: str = ""
    no_data: str = ""

    @classmethod
    def read(cls, tags: Mapping[int, Any]) -> "GeoTags | None":
        """Take the values of tags, by number; None if there are none.

        Raises:
            ValueError: they are damaged.
        """
        if not any(tag in tags for tag in TAGS):
            return None

        def numbers(tag: int, lengths: Callable[[int], bool], kind: type = float) -> tuple[Any, ...]:
            found = np.ravel(tags.get(tag, ()))
            known = found.dtype.kind in "fiu" and lengths(found.size)
            if found.size and not (known and (kind is float or (found.min() >= 0 and found.max() < 2**16))):
                raise ValueError(f"the place on Earth (GeoTIFF), whose tag {tag} is damaged,")
            return tuple(map(kind, found.tolist()))

        return cls(
            scale=numbers(_SCALE, lambda length: length == 3),
            tie_points=numbers(_TIE_POINTS, lambda length: length % 6 == 0),
            transformation=numbers(_TRANSFORMATION, lambda length: length == 16),
            keys=numbers(_KEYS, lambda length: length % 4 == 0, int),
            doubles=numbers(_DOUBLES, bool),
            texts=str(tags.get(_TEXTS, "")),
            gdal=str(tags.get(_GDAL_METADATA, "")),
            no_data=str(tags.get(_NO_DATA, "")).strip("\0 "),
        )

    def enlarged(self, down: Axis, across: Axis) -> "GeoTags":
        """Return the tags of the enlarged picture; GDAL's statistics of the pixels are left out."""
        axes = (across, down)  # columns come first
        # With PixelIsPoint, whole numbers are centres of pixels, and else their edges (section 7.1.2.2.1).
        shift = 0.5 if self._raster_type() == _IS_POINT else 0.0
        offsets = [axis.offset + shift * (axis.factor - 1) for axis in axes]
        points = np.array(self.tie_points).reshape(-1, 6)
        for i, axis in enumerate(axes):
            points[:, i] = points[:, i] * axis.factor + offsets[i]
        scale = tuple(value / axis.factor for value, axis in zip(self.scale, axes, strict=False)) + self.scale[2:]
        matrix = np.array(self.transformation).reshape(-1, 4)
        for i, axis in enumerate(axes):
            matrix[:, i] /= axis.factor
            matrix[:, 3] -= matrix[:, i] * offsets[i]
        return replace(
            self,
            scale=scale,
            tie_points=tuple(points.ravel().tolist()),
            transformation=tuple(matrix.ravel().tolist()),
            gdal=_STATISTICS.sub("", self.gdal),
        )

    def of_other_numbers(self) -> "GeoTags":
        """Return the tags of a picture whose pixels have other numbers: without those that are about numbers."""
        return replace(self, gdal="", no_data="")

    def names(self) -> list[str]:
        """Return, in words, what the tags say."""
        said = {
            "the place on Earth (GeoTIFF)": self.scale or self.tie_points or self.transformation or self.keys,
            "the value of pixels without data": self.no_data,
            "GDAL's metadata": self.gdal,
        }
        return [name for name, value in said.items() if value]

    def empty(self, pixels: np.ndarray) -> np.ndarray | None:
        """Return which of the pixels (H, W, C) have no data; None if there is no value for that."""
        value = self._no_data_of(pixels.dtype)
        if value is None:
            return None
        return np.isnan(pixels) if np.isnan(value) else pixels == value

    def without_data(self, pixels: np.ndarray, empty: np.ndarray) -> np.ndarray:
        """Return pixels (H, W, C) of which the `empty` ones have the value of pixels without data.

        Others that happen to have that value get the next one, as of gdalwarp.
        """
        value = self._no_data_of(pixels.dtype)
        if value is None:
            return pixels
        beside = abs(value - 1) if pixels.dtype.kind != "f" else np.nextafter(value, np.float32(value < 1))
        return np.where(empty, value, np.where(pixels == value, beside, pixels)).astype(pixels.dtype, copy=False)

    def extra_tags(self) -> list[tuple[int, int, int, Any, bool]]:
        """Return what tifffile writes: numbers, types, lengths and values."""
        numbers = ((_SCALE, self.scale), (_TIE_POINTS, self.tie_points), (_TRANSFORMATION, self.transformation),
                   (_KEYS, self.keys), (_DOUBLES, self.doubles))  # fmt: skip
        texts = ((_TEXTS, self.texts), (_GDAL_METADATA, self.gdal), (_NO_DATA, self.no_data))
        tags: list[tuple[int, int, int, Any, bool]] = [
            (tag, _SHORT if tag == _KEYS else _DOUBLE, len(values), values, True) for tag, values in numbers if values
        ]
        return tags + [(tag, _ASCII, 0, text.encode(), True) for tag, text in texts if text]

    def _no_data_of(self, dtype: np.dtype[Any]) -> Any:
        """Return the value of pixels without data, of type float32 or int; None if pixels of the type can't have it."""
        try:
            value = float(self.no_data)
        except ValueError:
            return None
        if dtype.kind == "f":
            with np.errstate(over="ignore"):  # of a file of 64 bits
                return np.float32(value)
        return int(value) if value in range(np.iinfo(dtype).max + 1) else None

    def _raster_type(self) -> int:
        entries = zip(*(self.keys[i + 4 :: 4] for i in range(4)), strict=False)
        return next((value for key, place, _, value in entries if key == _RASTER_TYPE and place == 0), 1)


def has_camera(tags: Mapping[int, Any]) -> bool:
    """Return whether tags hold the coefficients of a camera (RPC), which are of the smaller picture."""
    return _RPC in tags
