"""Networks from images to logits. To add one: one file with its nn.Module, and its name here."""

from collections.abc import Callable

from torch import nn

from sr_experiments.discriminators.patch import PatchDiscriminator
from sr_experiments.discriminators.tecogan import TecoGANDiscriminator
from sr_experiments.discriminators.unet import UNetDiscriminator
from sr_experiments.discriminators.vgg import VGGDiscriminator

DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "vgg": VGGDiscriminator,
    "unet": UNetDiscriminator,
    "patch": PatchDiscriminator,
    "tecogan": TecoGANDiscriminator,
}
