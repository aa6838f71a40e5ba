"""Normalisation layers by name, for discriminators."""

from torch import nn

from sr_experiments.errors import SRError


def normalisation(name: str, features: int) -> list[nn.Module]:
    """Return the layers of a normalisation by name: "batch", "instance" or "none".

    Raises:
        SRError: unknown name.
    """
    if name == "batch":
        return [nn.BatchNorm2d(features)]
    if name == "instance":
        return [nn.InstanceNorm2d(features, affine=True)]
    if name == "none":
        return []
    raise SRError(f"unknown norm {name!r} of a discriminator: choose one of batch, instance, none")
