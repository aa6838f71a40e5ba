"""Networks from images to logits. To add one: one file with its nn.Module, registered there."""

from torch import nn

from sr_experiments.registry import Registry

DISCRIMINATORS: Registry[nn.Module] = Registry(
    "discriminator", "sr_experiments.discriminators", {"channels": "channels"}
)
