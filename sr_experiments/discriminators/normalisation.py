"""Convolutions with a normalisation by name, for discriminators."""

from typing import Literal

from torch import nn

Norm = Literal["batch", "instance", "none"]


def normalised_conv(in_channels: int, out_channels: int, kernel: int, stride: int, norm: Norm) -> list[nn.Module]:
    """Return a convolution with padding 1, its normalisation and a leaky ReLU of slope 0.2."""
    # A normalisation has a bias of its own.
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1, bias=norm == "none")]
    if norm == "batch":
        layers.append(nn.BatchNorm2d(out_channels))
    elif norm == "instance":
        layers.append(nn.InstanceNorm2d(out_channels, affine=True))
    return [*layers, nn.LeakyReLU(0.2)]
