"""Blur, resize and JPEG with OpenCV on a CPU, one image at a time, sharing memory with PyTorch.

`Canvas.per_image` says when these are used; otherwise the same steps process whole batches of tensors.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sr_experiments.data.degradations.steps.canvas import Canvas

AREA, BILINEAR, BICUBIC = range(3)  # indices in resize.MODES
WHITE: Any = 255.0  # cv2.multiply accepts a number in place of an array, but its type stubs do not
LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)


def convolve(canvas: Canvas, kernel: Tensor, radius: Tensor) -> Tensor:
    """Convolve float32 images with their kernels (N, side, side), float64; borders are reflected.

    `radius` (N,) is that of the kernels, in pixels; images where it is 0 are copied. The result is zero outside the
    images.
    """
    result = torch.zeros_like(canvas.pixels, memory_format=torch.contiguous_format)
    middle = kernel.shape[-1] // 2
    row, column = kernel[:, middle], kernel[:, :, middle]  # (N, side) each
    column = column / kernel[:, middle, middle, None]
    # A kernel that is the outer product of its middle row and column (a Gaussian along the axes) takes two 1D passes.
    separable = ((column[:, :, None] * row[:, None]) - kernel).abs().amax((1, 2)) < 1e-8
    weights, rows, columns = (weight.float().numpy() for weight in (kernel, row, column))
    radii, separables = radius.tolist(), separable.tolist()
    border = cv2.BORDER_REFLECT_101

    # Writing to `dst` slices of a tensor's memory works only while type and size match; otherwise OpenCV reallocates.
    for i, (old, new) in enumerate(zip(_images(canvas), _images(canvas.with_pixels(result)), strict=True)):
        if not radii[i]:
            new[:] = old
            continue
        cut = slice(middle - radii[i], middle + radii[i] + 1)
        for channel in range(len(old)):
            if separables[i]:
                cv2.sepFilter2D(old[channel], -1, rows[i, cut], columns[i, cut], dst=new[channel], borderType=border)
            else:
                cv2.filter2D(old[channel], -1, weights[i, cut, cut], dst=new[channel], borderType=border)
    return result


def resize(canvas: Canvas, heights: Tensor, widths: Tensor, mode: Tensor) -> Tensor:
    """Resize float32 images to new sizes (N,) with their modes (N,), as `F.interpolate(size=...)` does: (N, C, H', W').

    H' and W' are the largest new height and width; the result is zero outside the images.
    """
    n, channels = canvas.pixels.shape[:2]
    result = canvas.pixels.new_zeros(n, channels, int(heights.max()), int(widths.max()))
    modes = mode.tolist()
    new_images = _images(replace(canvas, pixels=result, heights=heights, widths=widths))
    for i, (old, new) in enumerate(zip(_images(canvas), new_images, strict=True)):
        if modes[i] == AREA:  # OpenCV's INTER_AREA becomes bilinear when it enlarges; torch's is an average always
            torch.from_numpy(new).copy_(F.adaptive_avg_pool2d(torch.from_numpy(old), new.shape[1:]))
            continue
        interpolation = cv2.INTER_LINEAR if modes[i] == BILINEAR else cv2.INTER_CUBIC
        for channel in range(channels):
            cv2.resize(old[channel], new.shape[:0:-1], dst=new[channel], interpolation=interpolation)
    return result


def compress_jpeg(canvas: Canvas, quality: Tensor) -> Tensor:
    """Pass each image through libjpeg at its quality (N,), on the CPU, whatever the device.

    Returns:
        (N, 3 or 1, H, W), multiples of 1/255 in [0, 1], zero outside the images.
    """
    device = canvas.pixels.device
    canvas = canvas.with_pixels(canvas.pixels.cpu())
    result = torch.zeros_like(canvas.pixels, memory_format=torch.contiguous_format)
    qualities = quality.round().int().tolist()
    for i, (old, new) in enumerate(zip(_images(canvas), _images(canvas.with_pixels(result)), strict=True)):
        # OpenCV expects blue, green, red; CV_8U rounds and clips.
        levels = cv2.merge([cv2.multiply(channel, WHITE, dtype=cv2.CV_8U) for channel in old[::-1]])
        encoded = cv2.imencode(".jpg", levels, (cv2.IMWRITE_JPEG_QUALITY, qualities[i]))[1]
        decoded: Any = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        for channel, values in zip(new[::-1], cv2.split(decoded), strict=True):
            cv2.LUT(values, LEVELS, dst=channel)
    return result.to(device)


def _images(canvas: Canvas) -> Iterator[np.ndarray]:
    """Yield each image (C, h, w) as a view of the canvas's memory."""
    pixels = canvas.pixels.numpy()
    for i, (height, width) in enumerate(canvas.sizes):
        yield pixels[i, :, :height, :width]
