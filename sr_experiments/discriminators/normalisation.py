"""Normalisation layers by name, for discriminators."""

from typing import Literal

from torch import nn

Norm = Literal["batch", "instance", "none"]


def normalisation(name: Norm, features: int) -> list[nn.Module]:
    """Return the layers of a normalisation by name."""
    if name == "batch":
        return [nn.BatchNorm2d(features)]
    if name == "instance":
        return [nn.InstanceNorm2d(features, affine=True)]
    return []
