"""JPEG compression with a quality per image: libjpeg on a CPU, elsewhere its arithmetic on the whole batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from sr_experiments.config.constraints import Interval
from sr_experiments.data.degradations.steps import STEPS, draw, per_image
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import OptionalStep, Parameters

# ITU-T T.81, annex K: quantisation tables of luminance and chrominance at quality 50.
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
# JFIF: RGB to YCbCr, with chroma centred on 0.
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@STEPS.register("jpeg")
@dataclass
class JPEG(OptionalStep):
    """Step that compresses and decompresses with JPEG, 4:2:0 as in almost all software.

    Args:
        quality: range of the quality, 1 to 100; whole numbers are drawn.
        real: use libjpeg itself, one image at a time, even on GPUs.
    """

    needs_colours: ClassVar[bool] = True

    quality: Interval[Annotated[float, Ge(1), Le(100)]]
    real: bool = False

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        return {"quality": draw.uniform(clips, self.quality, generator).round()}

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Return the images compressed and decompressed, multiples of 1/255."""
        applied, quality = parameters["applied"], parameters["quality"]
        compress = per_image.compress_jpeg if self.real or canvas.per_image else jpeg
        pixels = compress(canvas, quality)
        if not applied.all():
            pixels = torch.where(applied[:, None, None, None].to(pixels.device), pixels, canvas.pixels)
        return canvas.with_pixels(pixels)

    def _label(self, drawn: Parameters) -> str:
        return f"jpeg {drawn['quality']:.0f}"


def jpeg(canvas: Canvas, quality: Tensor) -> Tensor:
    """Compress and decompress images with tensor operations, on any device.

    The result is (N, 3 or 1, H, W), multiples of 1/255 in [0, 1]; `quality` is (N,), 1 to 100.
    """
    height, width = canvas.pixels.shape[-2:]
    device = canvas.pixels.device
    if canvas.pixels.shape[1] == 1:
        levels = (canvas.repeated(8) * 255).round_().clamp_(0, 255)  # whole 8x8 blocks
        luma = _through_blocks(levels - 128, quantisation(LUMINANCE, quality, device)) + 128
        return luma[..., :height, :width].round_().clamp_(0, 255) / 255
    levels = (canvas.repeated(16) * 255).round_().clamp_(0, 255)  # whole blocks of subsampled chroma
    n, _, tall, wide = levels.shape
    ycc = (levels.new_tensor(TO_YCBCR) @ levels.flatten(2)).view(n, 3, tall, wide).round_()
    luma = _through_blocks(ycc[:, :1] - 128, quantisation(LUMINANCE, quality, device)) + 128
    chroma = ycc[:, 1:].unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5))  # (N, 2, H / 2, W / 2)
    # libjpeg rounds halves down and up alternately, so that the rounding has no bias.
    bias = torch.arange(chroma.shape[-1], device=device) % 2 * 0.25 + 0.25
    chroma = (chroma + bias).floor_()
    chroma = _through_blocks(chroma, quantisation(CHROMINANCE, quality, device)).round_().clamp_(-128, 127)
    small = replace(canvas, pixels=chroma, heights=(canvas.heights + 1) // 2, widths=(canvas.widths + 1) // 2)
    ycc = torch.cat((luma.round_().clamp_(0, 255), _upsample_chroma(small.repeated(1))), 1)
    rgb = (ycc.new_tensor(TO_RGB) @ ycc.flatten(2)).view(n, 3, tall, wide)
    return rgb[..., :height, :width].round_().clamp_(0, 255) / 255


def quantisation(table: Sequence[Sequence[int]], quality: Tensor, device: torch.device) -> Tensor:
    """Return quantisation tables (N, 8, 8) for qualities (N,), scaled as in libjpeg."""
    quality = quality.round()
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)[:, None, None]
    steps = ((torch.tensor(table, dtype=scale.dtype) * scale + 50) / 100).floor().clamp(1, 255)
    return steps.to(device, torch.float32)


def _through_blocks(plane: Tensor, steps: Tensor) -> Tensor:
    """Quantise the DCT of 8x8 blocks of (N, C, H, W), H and W multiples of 8, by steps (N, 8, 8); transform back."""
    n, channels, height, width = plane.shape
    k = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * k + 1) * k[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    basis = basis.to(plane.device, torch.float32)  # (frequency, position)
    rows = basis @ plane.reshape(n, channels, height // 8, 8, width)  # (N, C, H / 8, 8, W)
    frequencies = rows.reshape(n, channels, height // 8, 8, width // 8, 8) @ basis.T
    steps = steps[:, None, None, :, None, :]  # (N, 1, 1, 8, 1, 8)
    quantised = (frequencies / steps).round_() * steps
    rows = (quantised @ basis).reshape(n, channels, height // 8, 8, width)
    return (basis.T @ rows).reshape(n, channels, height, width)


def _upsample_chroma(chroma: Tensor) -> Tensor:
    """Upsample whole numbers (N, C, H, W) to (N, C, 2 * H, 2 * W) like libjpeg: 3/4 nearest pixel, 1/4 next one."""
    padded = F.pad(chroma, (0, 0, 1, 1), mode="replicate")
    rows = torch.stack((3 * chroma + padded[..., :-2, :], 3 * chroma + padded[..., 2:, :]), 3).flatten(2, 3)
    padded = F.pad(rows, (1, 1, 0, 0), mode="replicate")
    # 8 and 7 are libjpeg's rounding terms of left and right pixels (h2v2 "fancy upsampling").
    columns = torch.stack((3 * rows + padded[..., :-2] + 8, 3 * rows + padded[..., 2:] + 7), -1)
    return columns.flatten(3).div_(16).floor_()
