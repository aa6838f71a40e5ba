"""Losses: on pixels, on features, adversarial. To add one: one file with its nn.Module, registered there."""

from torch import nn

from sr_experiments.registry import Registry

LOSSES: Registry[nn.Module] = Registry("loss", "sr_experiments.losses")
