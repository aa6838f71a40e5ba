"""The numbers that `sr upscale`, `sr tune` and the page of `sr app` take, with their bounds."""

from typing import NamedTuple

LONGEST_SIDE = 1_000_000  # pixels


class Bounds(NamedTuple):
    """What a number may be.

    Attributes:
        kind: int or float.
        least: its smallest value.
        most: its largest value.
    """

    kind: type[int] | type[float]
    least: float
    most: float


SCALE = Bounds(float, 0.001, 1000)
SIDE = Bounds(int, 1, LONGEST_SIDE)
STRENGTH = Bounds(float, 0, 1)
DENOISE = Bounds(float, 0, 50)
# By the name of the option.
NUMBERS = {"scale": SCALE, "width": SIDE, "height": SIDE, "longest": SIDE, "strength": STRENGTH, "denoise": DENOISE}
