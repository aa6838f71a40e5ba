"""What OpenCV does best on a CPU: blur, resize and JPEG, image by image, without copies between it and PyTorch.

`Canvas.one_by_one` says where this is done; elsewhere the same steps work on whole batches of tensors.
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

AREA, BILINEAR, BICUBIC = range(3)  # modes of resize
WHITE: Any = 255.0  # OpenCV takes a number for an array, its types don't say so
LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)


def filtered(canvas: Canvas, kernel: Tensor, reach: Tensor) -> Tensor:
    """Each image with its own kernel, mirrored at its border pixels' centres.

    Args:
        canvas: of images (N, C, H, W), float32.
        kernel: (N, side, side), float64.
        reach: (N,), pixels from the centre of a kernel to its outermost weight; the image is left alone if it is 0.

    Returns:
        (N, C, H, W), zero beyond the images.
    """
    made = torch.zeros_like(canvas.pixels, memory_format=torch.contiguous_format)
    middle = kernel.shape[-1] // 2
    row, column = kernel[:, middle], kernel[:, :, middle]  # (N, side) each
    column = column / kernel[:, middle, middle, None]
    separable = ((column[:, :, None] * row[:, None]) - kernel).abs().amax((1, 2)) < 1e-8
    weights, rows, columns = (weight.float().numpy() for weight in (kernel, row, column))
    reaches, separables = reach.tolist(), separable.tolist()
    mirrored = cv2.BORDER_REFLECT_101

    for i, (old, new) in enumerate(zip(_images(canvas), _images(canvas.with_pixels(made)), strict=True)):
        if not reaches[i]:
            new[:] = old
            continue
        cut = slice(middle - reaches[i], middle + reaches[i] + 1)
        for channel in range(len(old)):
            if separables[i]:
                cv2.sepFilter2D(old[channel], -1, rows[i, cut], columns[i, cut], dst=new[channel], borderType=mirrored)
            else:
                cv2.filter2D(old[channel], -1, weights[i, cut, cut], dst=new[channel], borderType=mirrored)
    return made


def resized(canvas: Canvas, heights: Tensor, widths: Tensor, mode: Tensor) -> Tensor:
    """Each image in its new size, as `F.interpolate(size=...)` makes it.

    Args:
        canvas: of images (N, C, H, W), float32.
        heights: (N,), new.
        widths: (N,), new.
        mode: (N,), index in `resize.MODES`.

    Returns:
        (N, C, largest new height, largest new width), zero beyond the images.
    """
    n, channels = canvas.pixels.shape[:2]
    made = canvas.pixels.new_zeros(n, channels, int(heights.max()), int(widths.max()))
    modes = mode.tolist()
    new_images = _images(replace(canvas, pixels=made, heights=heights, widths=widths))
    for i, (old, new) in enumerate(zip(_images(canvas), new_images, strict=True)):
        if modes[i] == AREA:
            torch.from_numpy(new).copy_(F.adaptive_avg_pool2d(torch.from_numpy(old), new.shape[1:]))
            continue
        kernel = cv2.INTER_LINEAR if modes[i] == BILINEAR else cv2.INTER_CUBIC
        for channel in range(channels):
            cv2.resize(old[channel], new.shape[:0:-1], dst=new[channel], interpolation=kernel)
    return made


def compressed(canvas: Canvas, quality: Tensor) -> Tensor:
    """Each image through libjpeg at its own quality (N,): (N, 3 or 1, H, W), 255ths, zero beyond the images."""
    made = torch.zeros_like(canvas.pixels, memory_format=torch.contiguous_format)
    qualities = quality.round().int().tolist()
    for i, (old, new) in enumerate(zip(_images(canvas), _images(canvas.with_pixels(made)), strict=True)):
        # OpenCV's order is blue, green, red.
        levels = cv2.merge([cv2.multiply(channel, WHITE, dtype=cv2.CV_8U) for channel in old[::-1]])
        code = cv2.imencode(".jpg", levels, (cv2.IMWRITE_JPEG_QUALITY, qualities[i]))[1]
        back: Any = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
        for channel, values in zip(new[::-1], cv2.split(back), strict=True):
            cv2.LUT(values, LEVELS, dst=channel)
    return made


def _images(canvas: Canvas) -> Iterator[np.ndarray]:
    """Each image (C, h, w), sharing the canvas's memory."""
    pixels = canvas.pixels.numpy()
    for i, (height, width) in enumerate(canvas.sizes):
        yield pixels[i, :, :height, :width]
