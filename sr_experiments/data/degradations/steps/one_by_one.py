"""What OpenCV does best on a CPU: blur, resize and JPEG, image by image, without copies between it and PyTorch.

`Canvas.one_by_one` says where this is done; elsewhere the same steps work on whole batches of tensors.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sr_experiments.data.degradations.steps.canvas import Canvas

AREA, BILINEAR, BICUBIC = range(3)  # modes of resize
WORTH_THREADS = 1 << 16  # values of a batch; with fewer, starting threads takes longer than they save
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

    def work(i: int) -> None:
        cut = slice(middle - reaches[i], middle + reaches[i] + 1)
        for old, new in zip(_planes(canvas, i), _planes(canvas, i, made), strict=True):
            if not reaches[i]:
                new[:] = old
            elif separables[i]:
                cv2.sepFilter2D(old, -1, rows[i, cut], columns[i, cut], dst=new, borderType=mirrored)
            else:
                cv2.filter2D(old, -1, weights[i, cut, cut], dst=new, borderType=mirrored)

    _each(canvas, work)
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
    sizes, modes = list(zip(heights.tolist(), widths.tolist(), strict=True)), mode.tolist()

    def work(i: int) -> None:
        height, width = sizes[i]
        if modes[i] == AREA:
            old_height, old_width = canvas.sizes[i]
            image = canvas.pixels[i, :, :old_height, :old_width]
            made[i, :, :height, :width] = F.adaptive_avg_pool2d(image, (height, width))
            return
        kernel = cv2.INTER_LINEAR if modes[i] == BILINEAR else cv2.INTER_CUBIC
        for old, new in zip(_planes(canvas, i), made[i, :, :height, :width].numpy(), strict=True):
            cv2.resize(old, (width, height), dst=new, interpolation=kernel)

    _each(canvas, work)
    return made


def compressed(canvas: Canvas, quality: Tensor) -> Tensor:
    """Each image through libjpeg at its own quality (N,): (N, 3 or 1, H, W), 255ths, zero beyond the images."""
    made = torch.zeros_like(canvas.pixels, memory_format=torch.contiguous_format)
    qualities = quality.round().int().tolist()

    def work(i: int) -> None:
        # Planes as OpenCV orders them: blue, green, red.
        planes = [cv2.multiply(plane, 255.0, dtype=cv2.CV_8U) for plane in _planes(canvas, i)][::-1]
        code = cv2.imencode(".jpg", cv2.merge(planes), (cv2.IMWRITE_JPEG_QUALITY, qualities[i]))[1]
        back = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
        for old, new in zip(cv2.split(back)[::-1], _planes(canvas, i, made), strict=True):
            cv2.LUT(old, LEVELS, dst=new)

    _each(canvas, work)
    return made


def _planes(canvas: Canvas, i: int, pixels: Tensor | None = None) -> Iterator[np.ndarray]:
    """The channels of image i (h, w), or those of the same place in other pixels, sharing their memory."""
    height, width = canvas.sizes[i]
    yield from (canvas.pixels if pixels is None else pixels)[i, :, :height, :width].numpy()


def _each(canvas: Canvas, work: Callable[[int], None]) -> None:
    """Do the work for every image, on as many threads as PyTorch may use. No result depends on how many."""
    threads = torch.get_num_threads()
    if threads == 1 or canvas.pixels.numel() < WORTH_THREADS:
        for i in range(len(canvas)):
            work(i)
    else:
        list(_pool(threads).map(work, range(len(canvas))))


@lru_cache(1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "degradation")
