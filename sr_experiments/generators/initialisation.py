"""Initialisation in place: networks begin close to an interpolation, so that training starts with details.

Names end in an underscore, as those of `torch.nn.init`.
"""

import torch
from torch import Tensor, nn


def kaiming_scaled_(module: nn.Module, scale: float = 1.0, negative_slope: float = 0.0) -> None:
    """Fill every convolution in `module` with Kaiming-normal weights times `scale`, and zero biases (BasicSR).

    The scale is below 1 in residual branches, which then begin close to the identity; `negative_slope` is that of the
    leaky ReLUs behind the convolutions.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, a=negative_slope)
            layer.weight.data.mul_(scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@torch.no_grad()
def zero_mean_(weight: Tensor) -> None:
    """Subtract from each kernel its mean, and enlarge it: the features see edges instead of brightness.

    Features of brightness teach nothing for a hundred steps and, in FRVSR, for many hundreds. Edges are a fraction
    of the brightness, hence the factor. The weight is that of the first convolution, (outputs, inputs, k, k).
    """
    weight.sub_(weight.mean((2, 3), keepdim=True)).mul_(8)


@torch.no_grad()
def identity_(layer: nn.Conv2d, channels: int, fold: int = 1, keep: float = 0.0) -> None:
    """Make the first `channels` outputs of a convolution its first `channels` inputs.

    Its kernel is odd. A pixel-unshuffle made `fold` inputs, f^2, of each image channel, and the output is their mean;
    `keep` is the share of the layer's previous weights that is added.
    """
    centre = layer.kernel_size[0] // 2
    scale_outputs_(layer, channels, keep)
    for channel in range(channels):
        layer.weight[channel, channel * fold : (channel + 1) * fold, centre, centre] += 1 / fold


@torch.no_grad()
def bilinear_shuffle_(layer: nn.Conv2d, channels: int, step: int) -> None:
    """Make a 3x3 convolution before a pixel shuffle enlarge its first `channels` channels bilinearly, `step` times."""
    scale_outputs_(layer, channels * step**2, 0)
    offset = (torch.arange(step) + 0.5) / step - 0.5  # of an output pixel's centre, in input pixels
    taps = torch.stack(((-offset).clamp(min=0), 1 - offset.abs(), offset.clamp(min=0)), 1)  # (step, 3)
    kernels = torch.einsum("ia,jb->ijab", taps, taps).reshape(step**2, 3, 3)
    for channel in range(channels):
        layer.weight[channel * step**2 : (channel + 1) * step**2, channel] = kernels


@torch.no_grad()
def bilinear_smoothing_(layer: nn.Conv2d, channels: int) -> None:
    """Make a 3x3 convolution smooth a nearest-neighbour upsampling by 2 to a bilinear one, in `channels` channels."""
    scale_outputs_(layer, channels, 0)
    taps = torch.tensor([0.25, 0.5, 0.25])
    for channel in range(channels):
        layer.weight[channel, channel] = torch.outer(taps, taps)


@torch.no_grad()
def scale_outputs_(layer: nn.Conv2d, outputs: int, factor: float) -> None:
    """Multiply the weights and biases of the first `outputs` outputs by `factor`."""
    layer.weight[:outputs] *= factor
    if layer.bias is not None:
        layer.bias[:outputs] *= factor
