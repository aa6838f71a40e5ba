"""Resize step: each image by its own factor and interpolation, as torch's `F.interpolate(size=...)` does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, get_args

import torch
from annotated_types import Ge, Le
from torch import Tensor

from sr_experiments.config.constraints import Choices, Interval, Rule
from sr_experiments.data.degradations.steps import STEPS, draw, per_image
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import Parameters, Step, per_frame

Kind = Literal["up", "down", "keep"]
Mode = Literal["area", "bilinear", "bicubic"]
MODES: tuple[Mode, ...] = get_args(Mode)
CUBIC = -0.75  # the parameter a of bicubic interpolation in torch and OpenCV; MATLAB's is -0.5
LARGEST = 4.0  # largest factor, which bounds the memory of a canvas


def _encloses_one(limits: Sequence[float]) -> bool:
    return limits[0] <= 1 <= limits[1]


@STEPS.register("resize")
class Resize(Step):
    """Step that upscales, downscales or keeps each image.

    The new size is rounded down and the image fills it from edge to edge, so resizing and resizing back does not
    shift it. (`F.interpolate(scale_factor=...)`, which Real-ESRGAN uses for its first resize, cuts off the last
    fraction of a pixel instead, and the next resize to a given size then stretches the image by as much.)

    Args:
        factor: [smallest, largest], enclosing 1: upscaling draws from 1 to the largest, downscaling from the smallest
            to 1.
        kinds: weights of up, down and keep.
        modes: weights of area, bilinear and bicubic.
        of: size that the factor refers to: "input", the current size of the image, or "lr", the size of LR.
    """

    def __init__(
        self,
        factor: Annotated[Interval[Annotated[float, Ge(0.02), Le(LARGEST)]], Rule(_encloses_one, " around 1")] = (1, 1),
        kinds: Choices[Kind] | None = None,
        modes: Choices[Mode] | None = None,
        of: Literal["input", "lr"] = "input",
    ) -> None:
        self.factor = factor
        self.kinds = draw.weights(kinds or {"keep": 1}, get_args(Kind))
        self.modes = draw.weights(modes or dict.fromkeys(MODES, 1), MODES)
        self.of = of

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Draw the factor and mode of each clip."""
        kind = draw.choose(clips, self.kinds, generator)
        share = draw.uniform(clips, (0, 1), generator)
        mode = draw.choose(clips, self.modes, generator)
        smallest, largest = self.factor
        factor = torch.where(kind == 0, 1 + share * (largest - 1), smallest + share * (1 - smallest))
        factor = torch.where(kind == 2, 1.0, factor)
        return per_frame({"factor": factor, "mode": mode}, frames)

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Resize the images."""
        bases = (canvas.heights, canvas.widths) if self.of == "input" else canvas.lr_size
        sizes = [(base * parameters["factor"]).floor().long().clamp(min=1) for base in bases]
        heights, widths = (size.expand(len(canvas)) for size in sizes)
        if torch.equal(heights, canvas.heights) and torch.equal(widths, canvas.widths):
            return canvas  # at the same size every mode is the identity
        resize_all = per_image.resize if canvas.per_image else resize_tensor
        pixels = resize_all(canvas, heights, widths, parameters["mode"])
        return replace(canvas, pixels=pixels, heights=heights, widths=widths)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Describe the resize of image i: factor and mode."""
        mode = MODES[int(parameters["mode"][i])]
        if self.of == "lr" and self.factor == (1, 1):
            return mode
        return f"x{parameters['factor'][i]:.2f} {mode}"


def resize_tensor(canvas: Canvas, heights: Tensor, widths: Tensor, mode: Tensor) -> Tensor:
    """Resize all images at once to new sizes (N,) with their modes (N,), on any device: (N, C, H', W')."""
    device = canvas.pixels.device
    rows = interpolation(canvas.heights, heights, mode, canvas.pixels.shape[2], device)  # (N, H', H)
    columns = interpolation(canvas.widths, widths, mode, canvas.pixels.shape[3], device)  # (N, W', W)
    n, channels, height, _ = canvas.pixels.shape
    pixels = (canvas.pixels.flatten(1, 2) @ columns.mT).view(n, channels, height, -1)  # (N, C, H, W')
    return rows[:, None] @ pixels


def interpolation(sizes: Tensor, new: Tensor, mode: Tensor, length: int, device: torch.device) -> Tensor:
    """Return the weights of old pixels in new ones along one axis, (N, largest new size, length), float32.

    `sizes` and `new` (N,) are the old and new sizes, `mode` (N,) indices in MODES; the old canvas has size `length`.
    """
    positions = torch.arange(int(new.max()))
    old, fresh = sizes[:, None], new[:, None]
    centres = (positions + 0.5) * (old.double() / fresh) - 0.5  # (N, L), in old pixels
    base = centres.floor()
    t = centres - base
    linear = torch.stack((torch.zeros_like(t), 1 - t, t, torch.zeros_like(t)), -1)  # (N, L, 4)
    cubic = torch.stack((_cubic(t + 1), _cubic(t), _cubic(1 - t), _cubic(2 - t)), -1)
    weights = torch.where((mode == 2)[:, None, None], cubic, linear).to(device, torch.float32)
    taps = torch.minimum((base.long()[..., None] + torch.arange(-1, 3)).clamp(min=0), old[..., None] - 1).to(device)
    matrix = torch.zeros(*centres.shape, length, device=device)
    for k in range(4):  # one at a time: on a GPU, a single scatter adds in no fixed order
        matrix.scatter_add_(2, taps[..., k : k + 1], weights[..., k : k + 1])
    # Area: the mean of all old pixels that a new one touches (adaptive average pooling).
    first = (positions * old).div(fresh, rounding_mode="floor")[..., None].to(device, torch.int32)
    last = ((positions + 1) * old).add(fresh - 1).div(fresh, rounding_mode="floor")[..., None].to(device, torch.int32)
    columns = torch.arange(length, dtype=torch.int32, device=device)
    area = ((columns >= first) & (columns < last)) / (last - first)
    return torch.where((mode == 0)[:, None, None].to(device), area, matrix)


def _cubic(x: Tensor) -> Tensor:
    """Evaluate Keys' cubic convolution kernel at distances x from 0 to 2."""
    inner = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    outer = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return torch.where(x <= 1, inner, outer)
