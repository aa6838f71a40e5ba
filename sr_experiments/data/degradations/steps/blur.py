"""Blur steps: each image is convolved with its own kernel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from sr_experiments.config.constraints import Choices, Interval, Odd, Share
from sr_experiments.data.degradations.steps import STEPS, draw, kernels, per_image
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import OptionalStep, Parameters

SIDE = 21  # side of every kernel tensor, in pixels; smaller kernels are padded with zeros (Real-ESRGAN's largest)
NEGLIGIBLE = 5e-6  # share of a kernel's weight that may be cut off at its edges: far below half of 1/255
Family = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
FAMILIES = get_args(Family)
Side = Annotated[Odd[int], Ge(1), Le(SIDE)]


class _Blur(OptionalStep):
    """Base of the blurs: convolves each image with the kernel among its parameters; borders are reflected."""

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Draw a kernel for each image, which leaves it as it is where no blur is applied."""
        drawn = super().draw(clips, frames, generator)
        return {**drawn, "kernel": kernels.where(drawn["applied"], drawn["kernel"])}

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Blur the images."""
        return canvas.with_pixels(convolve(canvas, parameters["kernel"]))


@STEPS.register("blur")
@dataclass
class Blur(_Blur):
    """Lens blur: Gaussian, generalised Gaussian and plateau kernels, or a sinc filter (ringing).

    Args:
        kinds: weights of the kernel families, see `FAMILIES`.
        sigma: range of the standard deviation along both axes, in pixels.
        generalized_beta: range of the shape of generalised Gaussians; half are drawn below 1, half above.
        plateau_beta: range of the shape of plateaus, drawn in the same way.
        sinc: probability of a sinc filter in place of the families.
        size: range of the kernel side in pixels, odd.
    """

    kinds: Choices[Family]
    sigma: Interval[Annotated[float, Ge(0.01)]]
    generalized_beta: Interval[Annotated[float, Ge(0.05)]] = (1, 1)
    plateau_beta: Interval[Annotated[float, Ge(0.05)]] = (1, 1)
    sinc: Share = 0.0
    size: Interval[Side] = (7, SIDE)

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        # Every parameter is drawn for every clip, also where it is not used: what is drawn next then depends on the
        # number of clips only, and each draw is one tensor operation.
        n = clips
        kind = draw.choose(n, draw.weights(self.kinds, FAMILIES), generator)
        ringing = draw.chance(n, self.sinc, generator)
        size = odd(n, self.size, generator)
        sigma_x, sigma_y = draw.uniform(n, self.sigma, generator), draw.uniform(n, self.sigma, generator)
        angle = draw.uniform(n, (-math.pi, math.pi), generator)
        above = draw.chance(n, 0.5, generator)
        share = draw.uniform(n, (0, 1), generator)
        # `kind` is an index in FAMILIES: kind // 2 is 0 for Gaussian, 1 for generalised, 2 for plateau; odd for aniso.
        beta = torch.ones(n, dtype=torch.float64)
        for family, (low, high) in enumerate((self.generalized_beta, self.plateau_beta), 1):
            shape = torch.where(above, 1 + share * (high - 1), low + share * (1 - low))
            beta = torch.where(kind // 2 == family, shape, beta)
        # Lowest cutoff by kernel size, as in Real-ESRGAN's dataset code: a small kernel cannot hold a low one.
        lowest = torch.where(size < 13, math.pi / 3, math.pi / 5)
        cutoff = lowest + share * (math.pi - lowest)
        sigma_y = torch.where(kind % 2 == 1, sigma_y, sigma_x)
        distance = kernels.elliptic_distance(sigma_x, sigma_y, angle, SIDE)
        kernel = torch.empty_like(distance)
        plateau = ~ringing & (kind // 2 == 2)
        gaussian = ~ringing & ~plateau
        kernel[gaussian] = kernels.gaussian(distance[gaussian], beta[gaussian])
        kernel[plateau] = kernels.plateau(distance[plateau], beta[plateau])
        kernel[ringing] = kernels.sinc(cutoff[ringing], SIDE)
        drawn = {"kernel": kernels.normalised(kernel, size), "kind": kind, "ringing": ringing}
        return {**drawn, "sigma_x": sigma_x, "sigma_y": sigma_y, "cutoff": cutoff}

    def _label(self, drawn: Parameters) -> str:
        if drawn["ringing"]:
            return f"sinc {drawn['cutoff']:.1f}"
        name = FAMILIES[int(drawn["kind"])]
        across = f"/{drawn['sigma_y']:.1f}" if name.endswith("aniso") else ""
        return f"{name} {drawn['sigma_x']:.1f}{across}"


@STEPS.register("sinc")
@dataclass
class Sinc(_Blur):
    """Ideal low-pass filter, which causes ringing and overshoot.

    Args:
        cutoff: range of the cutoff frequency, in radians per pixel.
        size: range of the kernel side in pixels, odd.
    """

    cutoff: Interval[Annotated[float, Ge(0.1), Le(3.15)]] = (math.pi / 3, math.pi)
    size: Interval[Side] = (7, SIDE)

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        size, cutoff = odd(clips, self.size, generator), draw.uniform(clips, self.cutoff, generator)
        return {"kernel": kernels.normalised(kernels.sinc(cutoff, SIDE), size), "cutoff": cutoff}

    def _label(self, drawn: Parameters) -> str:
        return f"sinc {drawn['cutoff']:.1f}"


@STEPS.register("motion")
@dataclass
class Motion(_Blur):
    """Motion blur: straight camera movement during the exposure, drifting in speed and direction over a clip.

    Args:
        length: range of the length of the movement, in pixels.
        turn: largest change of direction over a clip, in degrees.
    """

    length: Interval[Annotated[float, Ge(0), Le(SIDE - 1)]]
    turn: Annotated[float, Ge(-360), Le(360)] = 45.0

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Draw a kernel for each frame; length and direction change linearly from the first frame to the last."""
        applied = draw.chance(clips, self.probability, generator)
        first, last = draw.uniform(clips, self.length, generator), draw.uniform(clips, self.length, generator)
        start_angle = draw.uniform(clips, (0, math.pi), generator)
        most = math.radians(self.turn)
        turn = draw.uniform(clips, (-most, most), generator)
        time = torch.linspace(0, 1, frames, dtype=torch.float64)
        length = (first[:, None] + time * (last - first)[:, None]).flatten()  # (clips * frames,)
        angle = (start_angle[:, None] + time * turn[:, None]).flatten()
        applied = applied.repeat_interleave(frames)
        kernel = kernels.where(applied, kernels.normalised(kernels.motion(length, angle, SIDE)))
        return {"kernel": kernel, "applied": applied, "length": length, "angle": angle}

    def _label(self, drawn: Parameters) -> str:
        return f"motion {drawn['length']:.1f}"


@STEPS.register("defocus")
@dataclass
class Defocus(_Blur):
    """Defocus blur: a disk.

    Args:
        radius: range of the radius, in pixels.
    """

    radius: Interval[Annotated[float, Ge(0), Le(SIDE // 2)]]

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        radius = draw.uniform(clips, self.radius, generator)
        return {"kernel": kernels.normalised(kernels.disk(radius, SIDE)), "radius": radius}

    def _label(self, drawn: Parameters) -> str:
        return f"disk {drawn['radius']:.1f}"


def convolve(canvas: Canvas, kernel: Tensor) -> Tensor:
    """Convolve images (N, C, H, W) with their kernels (N, side, side), in float32, with reflected borders."""
    radius = kernels.radius(kernel, NEGLIGIBLE)  # (N,)
    if not radius.any():
        return canvas.pixels
    convolve_all = per_image.convolve if canvas.per_image else convolve_tensor
    return convolve_all(canvas, kernel, radius)


def convolve_tensor(canvas: Canvas, kernel: Tensor, radius: Tensor) -> Tensor:
    """Do the same for all images at once, on any device; `radius` (N,) is that of the kernels, in pixels."""
    middle = kernel.shape[-1] // 2
    pixels = canvas.pixels.clone()
    # Small and large kernels go separately: the cost of a batched convolution is set by its largest kernel.
    for first, last in ((1, middle // 2), (middle // 2 + 1, middle)):
        images = ((radius >= first) & (radius <= last)).nonzero()[:, 0]
        if len(images):
            part = canvas if len(images) == len(canvas) else canvas.take(images)
            cut = slice(middle - last, middle + last + 1)
            blurred = _convolve(part, kernels.normalised(kernel[images][:, cut, cut]), last)
            pixels[images.to(pixels.device), :, : blurred.shape[2], : blurred.shape[3]] = blurred
    return pixels


def _convolve(canvas: Canvas, kernel: Tensor, margin: int) -> Tensor:
    n, channels, height, width = canvas.pixels.shape
    # Every channel of every image becomes a group of its own in one convolution.
    padded = canvas.mirrored(margin).reshape(1, n * channels, height + 2 * margin, width + 2 * margin)
    weight = kernel.to(padded.device, torch.float32).repeat_interleave(channels, 0)[:, None]  # (N * C, 1, side, side)
    return F.conv2d(padded, weight, groups=n * channels).reshape(n, channels, height, width)


def odd(n: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw (n,) odd numbers within limits, all equally likely."""
    return size[0] + 2 * draw.choose(n, [1.0] * ((size[1] - size[0]) // 2 + 1), generator)
