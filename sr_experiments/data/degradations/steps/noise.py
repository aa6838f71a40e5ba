"""Noise: Gaussian (sensor and amplifier) or Poisson (photon counts), as in Real-ESRGAN, section 3.1."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sr_experiments.config.constraints import Interval, Share, Weight
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.poisson import poisson
from sr_experiments.data.degradations.steps.step import OptionalStep, Parameters

LUMA = (0.2989, 0.587, 0.114)  # grey weights of torchvision, which BasicSR uses for grey Poisson noise


@STEPS.register("noise")
@dataclass
class Noise(OptionalStep):
    """Step that adds Gaussian or Poisson noise, in colour or grey, and clips to [0, 1].

    The frames of a clip share the noise level; the noise itself is drawn for each frame.

    Args:
        gaussian: range of the standard deviation, on the scale of 0 to 255.
        poisson: range of the factor that Poisson noise is multiplied by. Expected counts are pixel values times
            2^ceil(log2 k), k being the number of distinct values in the image, as in BasicSR.
        gaussian_probability: probability that the noise is Gaussian rather than Poisson.
        grey_probability: probability that the noise is the same in all channels.
    """

    gaussian: Interval[Weight]
    poisson: Interval[Weight] = (0, 0)
    gaussian_probability: Share = 1.0
    grey_probability: Share = 0.0

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        return {
            "gaussian": draw.chance(clips, self.gaussian_probability, generator),
            "grey": draw.chance(clips, self.grey_probability, generator),
            "sigma": draw.uniform(clips, self.gaussian, generator),
            "scale": draw.uniform(clips, self.poisson, generator),
        }

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Add noise to the images."""
        pixels = canvas.pixels.clone()
        applied, gaussian, grey = (parameters[key] for key in ("applied", "gaussian", "grey"))
        level = torch.where(gaussian, parameters["sigma"] / 255, parameters["scale"]).float()
        if canvas.per_image:
            drawn = zip(applied.tolist(), gaussian.tolist(), grey.tolist(), level.tolist(), strict=True)
            for i, (is_noisy, is_gaussian, is_grey, scale) in enumerate(drawn):
                if is_noisy:
                    height, width = canvas.sizes[i]
                    image = pixels[i : i + 1, :, :height, :width]
                    make_noise = gaussian_noise if is_gaussian else poisson_noise
                    image.add_(make_noise(image, is_grey, generator), alpha=scale)
            return canvas.with_pixels(pixels.clamp_(0, 1))
        # All images of one kind at once: colour and grey, Gaussian and Poisson noise differ in shape or in method.
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

    def _label(self, drawn: Parameters) -> str:
        grey = " grey" if drawn["grey"] else ""
        return f"gauss {drawn['sigma']:.0f}{grey}" if drawn["gaussian"] else f"poisson {drawn['scale']:.1f}{grey}"


def gaussian_noise(image: Tensor, grey: bool, generator: torch.Generator) -> Tensor:
    """Draw standard normal noise (N, C or 1, H, W)."""
    n, channels, height, width = image.shape
    # torch needs a generator on the device it draws on; the result then moves to the images.
    noise = torch.randn(n, 1 if grey else channels, height, width, generator=generator, device=generator.device)
    return noise.to(image.device)


def poisson_noise(image: Tensor, grey: bool, generator: torch.Generator, inside: Tensor | None = None) -> Tensor:
    """Draw Poisson noise: photon counts minus their expectation, (N, C or 1, H, W), on the scale of [0, 1].

    `inside` is the mask (N, 1, H, W) of the pixels that belong to the images, by default all; with `grey`, the photons
    of the grey image are counted.
    """
    if grey and image.shape[1] == 3:
        image = (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    elif grey:
        image = image.mean(1, keepdim=True)
    levels = (image * 255).round_().clamp_(0, 255)
    if inside is not None:  # outside, repeat the first pixel: it must not add to the number of distinct values
        levels = torch.where(inside, levels, levels[..., :1, :1])
    levels = levels.int()
    exponent = count_distinct(levels).log2().ceil()
    counts = poisson(levels, exponent, generator)
    return counts.mul_(torch.exp2(-exponent)[:, None, None, None]).sub_(levels, alpha=1 / 255)


def count_distinct(levels: Tensor) -> Tensor:
    """Return the number (N,), float32, of distinct values in each image (N, C, H, W) of int32 levels, 0 to 255."""
    if len(levels) == 1 and levels.device.type == "cpu":  # one at a time, bincount is the fastest
        return (levels.flatten().bincount(minlength=256) > 0).sum()[None].float()
    present = torch.zeros(len(levels), 256, device=levels.device)
    return present.scatter_(1, levels.flatten(1).long(), 1.0).sum(1)
