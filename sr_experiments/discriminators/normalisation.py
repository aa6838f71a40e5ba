"""Convolutions with a normalisation by name, for discriminators."""

from typing import Literal

from torch import nn

Norm = Literal["batch", "instance", "none"]


def normalised_conv(in_channels: int, out_channels: int, kernel: int, stride: int, norm: Norm) -> list[nn.Module]:
    """Return a convolution with padding 1, its normalisation and a leaky ReLU of slope 0.2."""
    normalisation: list[nn.Module] = []
    if norm == "batch":
        normalisation = [nn.BatchNorm2d(out_channels)]
    elif norm == "instance":
        normalisation = [nn.InstanceNorm2d(out_channels, affine=True)]
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1, bias=not normalisation)
    return [convolution, *normalisation, nn.LeakyReLU(0.2)]
