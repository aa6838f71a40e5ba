"""Images of any sizes on one canvas, as the steps of degradations take them."""

import skimage.data
import torch

from sr_experiments.data.degradations.steps.canvas import Canvas


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def canvas_of(images, frames=1, lr_size=(8, 8)):
    """Images (C, h, w) of any sizes on one canvas; what lies beyond them is far off any image's values."""
    heights, widths = (torch.tensor([image.shape[d] for image in images]) for d in (1, 2))
    pixels = torch.full((len(images), images[0].shape[0], int(heights.max()) + 3, int(widths.max()) + 5), 777.0)
    for i, image in enumerate(images):
        pixels[i, :, : image.shape[1], : image.shape[2]] = image
    return Canvas(pixels, heights, widths, lr_size, frames)


def image_of(canvas, i):
    return canvas.pixels[i, :, : canvas.heights[i], : canvas.widths[i]]


def noise_images(*sizes, channels=3, seed=0):
    return [torch.rand(channels, h, w, generator=rng(seed + i)) for i, (h, w) in enumerate(sizes)]


def photograph(name="astronaut"):
    return torch.from_numpy(getattr(skimage.data, name)().copy()).permute(2, 0, 1).float() / 255
