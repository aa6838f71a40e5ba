"""How networks begin: as little more than an enlargement, so that the first steps already teach detail."""

import torch
from torch import nn


def kaiming_scaled(module: nn.Module, scale: float) -> None:
    """Kaiming-normal weights times `scale`, zero biases, for every convolution in `module` (BasicSR)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data.mul_(scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@torch.no_grad()
def see_contrasts(layer: nn.Conv2d) -> None:
    """Let the first kernels have no mean, and be larger, for contrasts are a fraction of brightness.

    Features of brightness teach nothing for a hundred steps and, in FRVSR, for many hundreds.
    """
    layer.weight.sub_(layer.weight.mean((2, 3), keepdim=True)).mul_(8)


@torch.no_grad()
def carry_image(layer: nn.Conv2d, channels: int, folded: int = 1, rest: float = 0.0) -> None:
    """Let the first `channels` features be the input's first `channels` channels, and little more to begin with.

    Args:
        layer: from image or features to features, its kernel's sides odd.
        channels: of the image.
        folded: how many input channels each of the image's is folded into; their mean is carried.
        rest: share of the weights that the layer had that stays beside.
    """
    centre = layer.kernel_size[0] // 2
    shrink_outputs(layer, channels, rest)
    for channel in range(channels):
        layer.weight[channel, channel * folded : (channel + 1) * folded, centre, centre] += 1 / folded


@torch.no_grad()
def enlarge_image(layer: nn.Conv2d, channels: int, step: int) -> None:
    """Let a 3x3 convolution before a pixel shuffle enlarge its first `channels` channels bilinearly, `step` times."""
    shrink_outputs(layer, channels * step**2, 0)
    offset = (torch.arange(step) + 0.5) / step - 0.5  # of an output pixel's centre, in input pixels
    taps = torch.stack(((-offset).clamp(min=0), 1 - offset.abs(), offset.clamp(min=0)), 1)  # (step, 3)
    kernels = torch.einsum("ia,jb->ijab", taps, taps).reshape(step**2, 3, 3)
    for channel in range(channels):
        layer.weight[channel * step**2 : (channel + 1) * step**2, channel] = kernels


@torch.no_grad()
def smooth_image(layer: nn.Conv2d, channels: int) -> None:
    """Let a 3x3 convolution behind a nearest-neighbour enlargement by 2 make it bilinear, for the first `channels`."""
    shrink_outputs(layer, channels, 0)
    taps = torch.tensor([0.25, 0.5, 0.25])
    for channel in range(channels):
        layer.weight[channel, channel] = torch.outer(taps, taps)


@torch.no_grad()
def shrink_outputs(layer: nn.Conv2d, outputs: int, share: float) -> None:
    """Multiply what makes the first `outputs` features, weights and biases, by `share`."""
    layer.weight[:outputs] *= share
    if layer.bias is not None:
        layer.bias[:outputs] *= share
