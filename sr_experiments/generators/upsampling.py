"""Enlargement without a network, by the phase of the LR pixels; see `Degradation`."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sr_experiments.generators.padding import replicate_pad


def bilinear(image: Tensor, scale: int) -> Tensor:
    """Enlarge (N, C, H, W) around pixel centres."""
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


def bicubic_from_corner(image: Tensor, scale: int) -> Tensor:
    """Enlarge (N, C, H, W) so that pixel (scale * y, scale * x) is pixel (y, x): cubic convolution, a = -0.75.

    The upsampling of TecoGAN for LR frames that are every `scale`-th pixel of a blurred HR frame.
    """
    if torch.is_autocast_enabled(image.device.type):  # its products would be up to two levels of 255 off in bf16
        with torch.autocast(image.device.type, enabled=False):
            return bicubic_from_corner(image.float(), scale)
    height, width = image.shape[-2:]
    a = -0.75
    t = torch.arange(scale, device=image.device, dtype=torch.float64) / scale
    taps = torch.stack(
        (
            a * t - 2 * a * t**2 + a * t**3,
            1 - (a + 3) * t**2 + (a + 2) * t**3,
            -a * t + (2 * a + 3) * t**2 - (a + 2) * t**3,
            a * t**2 - a * t**3,
        ),
        1,
    ).to(image.dtype)  # (scale, 4): weights of pixels i - 1, i, i + 1 and i + 2
    padded = replicate_pad(image, 1, 2, 1, 2)  # (N, C, H + 3, W + 3)
    rows = torch.stack([padded[..., k : k + height, :] for k in range(4)], -1) @ taps.T  # (N, C, H, W + 3, scale)
    rows = rows.transpose(-1, -2).flatten(2, 3)  # (N, C, scale * H, W + 3)
    columns = torch.stack([rows[..., k : k + width] for k in range(4)], -1) @ taps.T  # (N, C, scale * H, W, scale)
    return columns.flatten(3, 4)


UPSAMPLING: dict[str, Callable[[Tensor, int], Tensor]] = {"centred": bilinear, "corner": bicubic_from_corner}
