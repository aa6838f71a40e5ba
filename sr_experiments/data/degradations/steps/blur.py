"""Blurs: each image with its own kernel."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from sr_experiments.config.constraints import Choices, Interval, Odd, Share
from sr_experiments.data.degradations.steps import STEPS, draw, kernels
from sr_experiments.data.degradations.steps import per_image as one_by_one
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import Parameters, per_frame

SIDE = 21  # of all kernels, the smaller ones surrounded by zeros
NEGLIGIBLE = 5e-6  # share of a kernel's weights that may be cut off at its edges
Family = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
FAMILIES = get_args(Family)
Side = Annotated[Odd[int], Ge(1), Le(SIDE)]


class _Blur:
    """Convolve each image with the kernel among its parameters, mirrored at its border pixels' centres."""

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Images of the same sizes, blurred."""
        return canvas.with_pixels(convolve(canvas, parameters["kernel"]))


@STEPS.register("blur")
class Blur(_Blur):
    """A lens's blur: Gaussians, generalised Gaussians and plateaus, or the sinc filter of repeated sharpening.

    Args:
        kinds: weights of the families, any of `FAMILIES`.
        sigma: range, in pixels, of both axes.
        generalized_beta: range of the generalised Gaussians' shape; half of them below 1, half above.
        plateau_beta: of the plateaus', likewise.
        sinc: probability of the sinc filter, in place of the families.
        size: range of the kernels' side, odd.
        probability: of any blur at all.
    """

    def __init__(
        self,
        kinds: Choices[Family],
        sigma: Interval[Annotated[float, Ge(0.01)]],
        generalized_beta: Interval[Annotated[float, Ge(0.05)]] = (1, 1),
        plateau_beta: Interval[Annotated[float, Ge(0.05)]] = (1, 1),
        sinc: Share = 0.0,
        size: Interval[Side] = (7, SIDE),
        probability: Share = 1.0,
    ) -> None:
        self.weights = draw.weights(kinds, FAMILIES)
        self.sigma = sigma
        self.betas = (generalized_beta, plateau_beta)
        self.sinc = sinc
        self.size = size
        self.probability = probability

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """A kernel for each clip."""
        n = clips
        applied = draw.chance(n, self.probability, generator)
        kind = draw.choose(n, self.weights, generator)
        ringing = draw.chance(n, self.sinc, generator)
        size = odd(n, self.size, generator)
        sigma_x, sigma_y = draw.uniform(n, self.sigma, generator), draw.uniform(n, self.sigma, generator)
        angle = draw.uniform(n, (-math.pi, math.pi), generator)
        above = draw.chance(n, 0.5, generator)
        share = draw.uniform(n, (0, 1), generator)
        beta = torch.ones(n, dtype=torch.float64)
        for family, (low, high) in enumerate(self.betas, 1):
            shape = torch.where(above, 1 + share * (high - 1), low + share * (1 - low))
            beta = torch.where(kind // 2 == family, shape, beta)
        lowest = torch.where(size < 13, math.pi / 3, math.pi / 5)
        cutoff = lowest + share * (math.pi - lowest)

        sigma_y = torch.where(kind % 2 == 1, sigma_y, sigma_x)
        distance = kernels.elliptic_distance(sigma_x, sigma_y, angle, SIDE)
        plateau = kind // 2 == 2
        kernel = kernels.by_kind(
            kernels.pulse(n, SIDE),
            (~ringing & ~plateau, lambda i: kernels.gaussian(distance[i], beta[i])),
            (~ringing & plateau, lambda i: kernels.plateau(distance[i], beta[i])),
            (ringing, lambda i: kernels.sinc(cutoff[i], SIDE)),
        )
        kernel = kernels.normalised(kernel, size)
        kernel = kernels.where(applied, kernel)
        drawn = {"kernel": kernel, "applied": applied, "kind": kind, "ringing": ringing}
        drawn |= {"sigma_x": sigma_x, "sigma_y": sigma_y, "cutoff": cutoff}
        return per_frame(drawn, frames)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: family and sigmas."""
        p = {key: value[i] for key, value in parameters.items()}
        if not p["applied"]:
            return ""
        if p["ringing"]:
            return f"sinc {p['cutoff']:.1f}"
        name = FAMILIES[int(p["kind"])]
        across = f"/{p['sigma_y']:.1f}" if name.endswith("aniso") else ""
        return f"{name} {p['sigma_x']:.1f}{across}"


@STEPS.register("sinc")
class Sinc(_Blur):
    """The ideal low-pass filter, for ringing and overshoot.

    Args:
        cutoff: range, in radians a pixel.
        size: range of the kernels' side, odd.
        probability: of any filter at all.
    """

    def __init__(
        self,
        cutoff: Interval[Annotated[float, Ge(0.1), Le(3.15)]] = (math.pi / 3, math.pi),
        size: Interval[Side] = (7, SIDE),
        probability: Share = 1.0,
    ) -> None:
        self.cutoff = cutoff
        self.size = size
        self.probability = probability

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """A kernel for each clip."""
        applied = draw.chance(clips, self.probability, generator)
        size, cutoff = odd(clips, self.size, generator), draw.uniform(clips, self.cutoff, generator)
        kernel = kernels.normalised(kernels.sinc(cutoff, SIDE), size)
        kernel = kernels.where(applied, kernel)
        drawn = {"kernel": kernel, "applied": applied, "cutoff": cutoff}
        return per_frame(drawn, frames)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: the cutoff."""
        return f"sinc {parameters['cutoff'][i]:.1f}" if parameters["applied"][i] else ""


@STEPS.register("motion")
class Motion(_Blur):
    """Camera shake: a straight movement while the shutter is open; over a clip its speed and direction drift.

    Args:
        length: range of the movement, in pixels.
        turn: the direction changes by at most this much over a clip, in degrees.
        probability: of any movement at all.
    """

    def __init__(
        self,
        length: Interval[Annotated[float, Ge(0), Le(SIDE - 1)]],
        turn: Annotated[float, Ge(-360), Le(360)] = 45.0,
        probability: Share = 1.0,
    ) -> None:
        self.length = length
        self.turn = math.radians(turn)
        self.probability = probability

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """A kernel for each frame; length and direction go evenly from the first frame's to the last one's."""
        applied = draw.chance(clips, self.probability, generator)
        first, last = draw.uniform(clips, self.length, generator), draw.uniform(clips, self.length, generator)
        begin = draw.uniform(clips, (0, math.pi), generator)
        turned = draw.uniform(clips, (-self.turn, self.turn), generator)
        time = torch.linspace(0, 1, frames, dtype=torch.float64)
        length = (first[:, None] + time * (last - first)[:, None]).flatten()
        angle = (begin[:, None] + time * turned[:, None]).flatten()
        applied = applied.repeat_interleave(frames)
        kernel = kernels.normalised(kernels.motion(length, angle, SIDE))
        kernel = kernels.where(applied, kernel)
        return {"kernel": kernel, "applied": applied, "length": length, "angle": angle}

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: how far."""
        return f"motion {parameters['length'][i]:.1f}" if parameters["applied"][i] else ""


@STEPS.register("defocus")
class Defocus(_Blur):
    """A lens out of focus: a disk.

    Args:
        radius: range, in pixels.
        probability: of any blur at all.
    """

    def __init__(self, radius: Interval[Annotated[float, Ge(0), Le(SIDE // 2)]], probability: Share = 1.0) -> None:
        self.radius = radius
        self.probability = probability

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """A kernel for each clip."""
        applied = draw.chance(clips, self.probability, generator)
        radius = draw.uniform(clips, self.radius, generator)
        kernel = kernels.normalised(kernels.disk(radius, SIDE))
        kernel = kernels.where(applied, kernel)
        drawn = {"kernel": kernel, "applied": applied, "radius": radius}
        return per_frame(drawn, frames)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: the radius."""
        return f"disk {parameters['radius'][i]:.1f}" if parameters["applied"][i] else ""


def convolve(canvas: Canvas, kernel: Tensor) -> Tensor:
    """Each image (N, C, H, W) with its own kernel (N, side, side), in float32, over mirrored borders."""
    reach = kernels.reach(kernel, NEGLIGIBLE)  # (N,)
    if not reach.any():
        return canvas.pixels
    if canvas.one_by_one:
        return one_by_one.filtered(canvas, kernel, reach)
    return convolve_tensor(canvas, kernel, reach)


def convolve_tensor(canvas: Canvas, kernel: Tensor, reach: Tensor) -> Tensor:
    """The same with all images at once, on any device; `reach` (N,) is the kernels', in pixels."""
    middle = kernel.shape[-1] // 2
    pixels = canvas.pixels.clone()
    # Small kernels and large ones apart: what a convolution takes goes by the largest.
    for first, last in ((1, middle // 2), (middle // 2 + 1, middle)):
        images = ((reach >= first) & (reach <= last)).nonzero()[:, 0]
        if len(images):
            part = canvas if len(images) == len(canvas) else canvas.take(images)
            cut = slice(middle - last, middle + last + 1)
            blurred = _convolve(part, kernels.normalised(kernel[images][:, cut, cut]), last)
            pixels[images.to(pixels.device), :, : blurred.shape[2], : blurred.shape[3]] = blurred
    return pixels


def _convolve(canvas: Canvas, kernel: Tensor, margin: int) -> Tensor:
    n, channels, height, width = canvas.pixels.shape
    around = canvas.mirrored(margin).reshape(1, n * channels, height + 2 * margin, width + 2 * margin)
    weight = kernel.to(around.device, torch.float32).repeat_interleave(channels, 0)[:, None]
    return F.conv2d(around, weight, groups=n * channels).reshape(n, channels, height, width)


def odd(n: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """(n,) odd numbers from the first to the last, all as probable."""
    return size[0] + 2 * draw.choose(n, [1.0] * ((size[1] - size[0]) // 2 + 1), generator)
