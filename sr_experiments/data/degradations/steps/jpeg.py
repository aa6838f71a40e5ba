"""JPEG, each image at its own quality: libjpeg on a CPU, elsewhere its arithmetic on the whole batch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from sr_experiments.config.constraints import Interval, Share
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps import per_image as one_by_one
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import Parameters, per_frame

# ITU-T T.81, annex K: quantisation of luminance and chrominance at quality 50.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# JFIF: RGB to YCbCr, chroma about 0.
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@STEPS.register("jpeg")
class JPEG:
    """Compress and decompress; chroma at half the resolution, as almost all software does.

    Args:
        quality: range, 1 to 100; whole numbers are drawn.
        real: with libjpeg itself, an image after the other, also where the device's arithmetic would do it.
        probability: of any compression at all.
    """

    def __init__(
        self,
        quality: Interval[Annotated[float, Ge(1), Le(100)]],
        real: bool = False,
        probability: Share = 1.0,
    ) -> None:
        self.quality = quality
        self.real = real
        self.probability = probability

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Quality of each clip."""
        drawn = {
            "applied": draw.chance(clips, self.probability, generator),
            "quality": draw.uniform(clips, self.quality, generator).round(),
        }
        return per_frame(drawn, frames)

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Images of the same sizes, compressed and decompressed, in 255ths."""
        applied, quality = parameters["applied"], parameters["quality"]
        pixels = real_jpeg(canvas, quality) if self.real or canvas.one_by_one else jpeg(canvas, quality)
        if not applied.all():
            pixels = torch.where(applied[:, None, None, None].to(pixels.device), pixels, canvas.pixels)
        return canvas.with_pixels(pixels)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: the quality."""
        return f"jpeg {parameters['quality'][i]:.0f}" if parameters["applied"][i] else ""


def jpeg(canvas: Canvas, quality: Tensor) -> Tensor:
    """Compressed and decompressed images, by tensors on any device.

    Args:
        canvas: of images (N, 3 or 1, H, W) in [0, 1].
        quality: (N,), 1 to 100.

    Returns:
        (N, 3 or 1, H, W), 255ths in [0, 1].
    """
    height, width = canvas.pixels.shape[-2:]
    device = canvas.pixels.device
    if canvas.pixels.shape[1] == 1:
        levels = (canvas.repeated(8) * 255).round_().clamp_(0, 255)
        luma = _through_blocks(levels - 128, quantisation(LUMINANCE, quality, device)) + 128
        return luma[..., :height, :width].round_().clamp_(0, 255) / 255
    levels = (canvas.repeated(16) * 255).round_().clamp_(0, 255)
    n, _, tall, wide = levels.shape
    ycc = (levels.new_tensor(TO_YCBCR) @ levels.flatten(2)).view(n, 3, tall, wide).round_()
    luma = _through_blocks(ycc[:, :1] - 128, quantisation(LUMINANCE, quality, device)) + 128
    chroma = ycc[:, 1:].unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5))  # (N, 2, H / 2, W / 2)
    # libjpeg rounds halves down and up in turn, so that they don't add up to a shift.
    bias = torch.arange(chroma.shape[-1], device=device) % 2 * 0.25 + 0.25
    chroma = (chroma + bias).floor_()
    chroma = _through_blocks(chroma, quantisation(CHROMINANCE, quality, device)).round_().clamp_(-128, 127)
    small = replace(canvas, pixels=chroma, heights=(canvas.heights + 1) // 2, widths=(canvas.widths + 1) // 2)
    ycc = torch.cat((luma.round_().clamp_(0, 255), _enlarged(small.repeated(1))), 1)
    rgb = (ycc.new_tensor(TO_RGB) @ ycc.flatten(2)).view(n, 3, tall, wide)
    return rgb[..., :height, :width].round_().clamp_(0, 255) / 255


def quantisation(table: Sequence[Sequence[int]], quality: Tensor, device: torch.device) -> Tensor:
    """Tables (N, 8, 8) for qualities (N,), as libjpeg scales them."""
    quality = quality.round()
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)[:, None, None]
    steps = ((torch.tensor(table, dtype=scale.dtype) * scale + 50) / 100).floor().clamp(1, 255)
    return steps.to(device, torch.float32)


def _through_blocks(plane: Tensor, steps: Tensor) -> Tensor:
    """(N, C, H, W), multiples of 8: DCT of 8x8 blocks, quantised by steps (N, 8, 8), and back."""
    n, channels, height, width = plane.shape
    k = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * k + 1) * k[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    basis = basis.to(plane.device, torch.float32)  # (frequency, place)
    rows = basis @ plane.reshape(n, channels, height // 8, 8, width)  # (N, C, H / 8, 8, W)
    frequencies = rows.reshape(n, channels, height // 8, 8, width // 8, 8) @ basis.T
    steps = steps[:, None, None, :, None, :]  # (N, 1, 1, 8, 1, 8)
    kept = (frequencies / steps).round_() * steps
    rows = (kept @ basis).reshape(n, channels, height // 8, 8, width)
    return (basis.T @ rows).reshape(n, channels, height, width)


def _enlarged(chroma: Tensor) -> Tensor:
    """(N, C, H, W) whole numbers to (N, C, 2 * H, 2 * W): three parts of the nearest, one of the next (libjpeg)."""
    around = F.pad(chroma, (0, 0, 1, 1), mode="replicate")
    rows = torch.stack((3 * chroma + around[..., :-2, :], 3 * chroma + around[..., 2:, :]), 3).flatten(2, 3)
    around = F.pad(rows, (1, 1, 0, 0), mode="replicate")
    columns = torch.stack((3 * rows + around[..., :-2] + 8, 3 * rows + around[..., 2:] + 7), -1)
    return columns.flatten(3).div_(16).floor_()


def real_jpeg(canvas: Canvas, quality: Tensor) -> Tensor:
    """The same by libjpeg itself, image by image on the CPU, whatever the device."""
    on_cpu = canvas.with_pixels(canvas.pixels.cpu())
    return one_by_one.compressed(on_cpu, quality).to(canvas.pixels.device)
