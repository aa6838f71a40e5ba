"""Resize: each image by its own factor, with its own kernel, as torch's `F.interpolate(size=...)` does it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, get_args

import torch
from annotated_types import Ge, Le
from torch import Tensor

from sr_experiments.config.constraints import Choices, Interval, Rule
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps import per_image as one_by_one
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import Parameters, per_frame

Kind = Literal["up", "down", "keep"]
Mode = Literal["area", "bilinear", "bicubic"]
MODES: tuple[Mode, ...] = get_args(Mode)
CUBIC = -0.75  # a of torch's bicubic, and OpenCV's
LARGEST = 4.0  # factor: what bounds the canvas


def _encloses_one(limits: Sequence[float]) -> bool:
    return limits[0] <= 1 <= limits[1]


@STEPS.register("resize")
class Resize:
    """Enlarge, shrink or keep.

    A new size is rounded down, and the picture fills it from edge to edge: a picture resized and back lies where
    it was. (`F.interpolate(scale_factor=...)`, which Real-ESRGAN calls for its first resize, cuts the last fraction
    of a pixel off instead, and the next resize to a whole size then stretches the picture by as much.)

    Args:
        factor: [smallest, largest], on both sides of 1: enlarged between 1 and the largest, shrunk between the
            smallest and 1.
        kinds: weights of up, down and keep.
        modes: weights of area, bilinear and bicubic.
        of: "input": the factor is of the size the image has; "lr": of the size it ends with.
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
        """Factor and mode of each clip."""
        kind = draw.choose(clips, self.kinds, generator)
        share = draw.uniform(clips, (0, 1), generator)
        mode = draw.choose(clips, self.modes, generator)
        smallest, largest = self.factor
        factor = torch.where(kind == 0, 1 + share * (largest - 1), smallest + share * (1 - smallest))
        factor = torch.where(kind == 2, 1.0, factor)
        drawn = {"factor": factor, "mode": mode}
        return per_frame(drawn, frames)

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Images of new sizes."""
        bases = (canvas.heights, canvas.widths) if self.of == "input" else canvas.lr_size
        sizes = [(base * parameters["factor"]).floor().long().clamp(min=1) for base in bases]
        heights, widths = (size.expand(len(canvas)) for size in sizes)
        if torch.equal(heights, canvas.heights) and torch.equal(widths, canvas.widths):
            return canvas  # every mode keeps what keeps its size
        made = one_by_one.resized if canvas.one_by_one else resize_tensor
        pixels = made(canvas, heights, widths, parameters["mode"])
        return replace(canvas, pixels=pixels, heights=heights, widths=widths)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: factor and mode."""
        mode = MODES[int(parameters["mode"][i])]
        if self.of == "lr" and self.factor == (1, 1):
            return mode
        return f"x{parameters['factor'][i]:.2f} {mode}"


def resize_tensor(canvas: Canvas, heights: Tensor, widths: Tensor, mode: Tensor) -> Tensor:
    """All images at once in their new sizes (N,), by their modes (N,): (N, C, H', W'), on any device."""
    device = canvas.pixels.device
    rows = interpolation(canvas.heights, heights, mode, canvas.pixels.shape[2], device)  # (N, H', H)
    columns = interpolation(canvas.widths, widths, mode, canvas.pixels.shape[3], device)  # (N, W', W)
    n, channels, height, _ = canvas.pixels.shape
    pixels = (canvas.pixels.flatten(1, 2) @ columns.mT).view(n, channels, height, -1)  # (N, C, H, W')
    return rows[:, None] @ pixels


def interpolation(sizes: Tensor, new: Tensor, mode: Tensor, length: int, device: torch.device) -> Tensor:
    """Weights of old pixels in new ones, (N, longest new size, length), float32.

    Args:
        sizes: old sizes (N,), at most `length`.
        new: new sizes (N,).
        mode: index in MODES (N,).
        length: of the old canvas.
        device: of the result.
    """
    places = torch.arange(int(new.max()))
    old, fresh = sizes[:, None], new[:, None]
    centres = (places + 0.5) * (old.double() / fresh) - 0.5  # (N, L), in old pixels
    base = centres.floor()
    t = centres - base
    linear = torch.stack((torch.zeros_like(t), 1 - t, t, torch.zeros_like(t)), -1)  # (N, L, 4)
    cubic = torch.stack((_cubic(t + 1), _cubic(t), _cubic(1 - t), _cubic(2 - t)), -1)
    weights = torch.where((mode == 2)[:, None, None], cubic, linear).to(device, torch.float32)
    taps = torch.minimum((base.long()[..., None] + torch.arange(-1, 3)).clamp(min=0), old[..., None] - 1).to(device)
    matrix = torch.zeros(*centres.shape, length, device=device)
    for k in range(4):  # one after the other, so that a GPU always adds them up in the same order
        matrix.scatter_add_(2, taps[..., k : k + 1], weights[..., k : k + 1])
    # Area: the mean of all pixels that a new one touches.
    first = (places * old).div(fresh, rounding_mode="floor")[..., None].to(device, torch.int32)
    last = ((places + 1) * old).add(fresh - 1).div(fresh, rounding_mode="floor")[..., None].to(device, torch.int32)
    columns = torch.arange(length, dtype=torch.int32, device=device)
    area = ((columns >= first) & (columns < last)) / (last - first)
    return torch.where((mode == 0)[:, None, None].to(device), area, matrix)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel at distances x of 0 to 2."""
    inner = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    outer = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return torch.where(x <= 1, inner, outer)
