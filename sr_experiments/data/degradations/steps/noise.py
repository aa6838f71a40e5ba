"""Noise: Gaussian of the sensor and its amplifier, or Poisson of counted photons (Real-ESRGAN, section 3.1)."""

import torch
from torch import Tensor

from sr_experiments.config.constraints import Interval, Share, Weight
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.poisson import poisson
from sr_experiments.data.degradations.steps.step import Parameters, per_frame

LUMA = (0.2989, 0.587, 0.114)  # torchvision's grey, which BasicSR takes for grey Poisson noise


@STEPS.register("noise")
class Noise:
    """Gaussian or Poisson noise, in colour or grey, clipped to [0, 1].

    The level is a clip's, the noise each frame's own.

    Args:
        gaussian: range of sigma, in 255ths.
        poisson: range of the scale by which Poisson noise is multiplied. The counts are the pixel's value times
            2^ceil(log2 k), k being the number of different values in the image, as in BasicSR.
        gaussian_probability: of Gaussian noise; else it is Poisson's.
        grey_probability: of noise that is the same in all channels.
        probability: of any noise at all.
    """

    def __init__(
        self,
        gaussian: Interval[Weight],
        poisson: Interval[Weight] = (0, 0),
        gaussian_probability: Share = 1.0,
        grey_probability: Share = 0.0,
        probability: Share = 1.0,
    ) -> None:
        self.gaussian = gaussian
        self.poisson = poisson
        self.gaussian_probability = gaussian_probability
        self.grey_probability = grey_probability
        self.probability = probability

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Kind and level of each clip."""
        drawn = {
            "applied": draw.chance(clips, self.probability, generator),
            "gaussian": draw.chance(clips, self.gaussian_probability, generator),
            "grey": draw.chance(clips, self.grey_probability, generator),
            "sigma": draw.uniform(clips, self.gaussian, generator),
            "scale": draw.uniform(clips, self.poisson, generator),
        }
        return per_frame(drawn, frames)

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Images of the same sizes, with noise."""
        pixels = canvas.pixels.clone()
        applied, gaussian, grey = (parameters[key] for key in ("applied", "gaussian", "grey"))
        level = torch.where(gaussian, parameters["sigma"] / 255, parameters["scale"]).float()
        if canvas.one_by_one:
            drawn = zip(applied.tolist(), gaussian.tolist(), grey.tolist(), level.tolist(), strict=True)
            for i, (does, is_gaussian, is_grey, scale) in enumerate(drawn):
                if does:
                    height, width = canvas.sizes[i]
                    image = pixels[i : i + 1, :, :height, :width]
                    make = gaussian_noise if is_gaussian else poisson_noise
                    image.add_(make(image, is_grey, generator), alpha=scale)
            return canvas.with_pixels(pixels.clamp_(0, 1))
        for kind in (gaussian & ~grey, gaussian & grey, ~gaussian & ~grey, ~gaussian & grey):
            images = (applied & kind).nonzero()[:, 0]
            if not len(images):
                continue
            part = canvas.take(images)
            first = int(images[0])
            if gaussian[first]:
                noise = gaussian_noise(part.pixels, bool(grey[first]), generator)
            else:
                noise = poisson_noise(part.pixels, bool(grey[first]), generator, part.inside())
            noisy = part.pixels + level[images].to(pixels.device)[:, None, None, None] * noise
            pixels[images.to(pixels.device), :, : noisy.shape[2], : noisy.shape[3]] = noisy
        return canvas.with_pixels(pixels.clamp_(0, 1))

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: kind and level."""
        p = {key: value[i] for key, value in parameters.items()}
        if not p["applied"]:
            return ""
        grey = " grey" if p["grey"] else ""
        return f"gauss {p['sigma']:.0f}{grey}" if p["gaussian"] else f"poisson {p['scale']:.1f}{grey}"


def gaussian_noise(image: Tensor, grey: bool, generator: torch.Generator) -> Tensor:
    """Standard normal (N, C or 1, H, W)."""
    n, channels, height, width = image.shape
    return draw.normal((n, 1 if grey else channels, height, width), generator, image.device)


def poisson_noise(image: Tensor, grey: bool, generator: torch.Generator, inside: Tensor | None = None) -> Tensor:
    """Counted less expected photons, (N, C or 1, H, W), in units of [0, 1].

    Args:
        image: (N, C, H, W).
        grey: count the photons of the image's grey.
        generator: on any device.
        inside: (N, 1, H, W), the pixels that belong to the images; by default all.
    """
    if grey and image.shape[1] == 3:
        image = (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    levels = (image * 255).round_().clamp_(0, 255)
    if inside is not None:  # the rest of the canvas counts as the first pixel does
        levels = torch.where(inside, levels, levels[..., :1, :1])
    levels = levels.int()
    exponent = different(levels).log2().ceil()
    counted = poisson(levels, exponent, generator)
    return counted.mul_(torch.exp2(-exponent)[:, None, None, None]).sub_(levels, alpha=1 / 255)


def different(levels: Tensor) -> Tensor:
    """(N,), float32: how many different values there are in each of the levels (N, C, H, W), int32, 0 to 255."""
    if len(levels) == 1 and levels.device.type == "cpu":
        return (levels.flatten().bincount(minlength=256) > 0).sum()[None].float()
    present = torch.zeros(len(levels), 256, device=levels.device)
    return present.scatter_(1, levels.flatten(1).long(), 1.0).sum(1)
