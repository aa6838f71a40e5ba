"""Networks from LR to SR. To add one: one file with its nn.Module, registered there."""

from torch import nn

from sr_experiments.registry import Registry

GIVEN = {"scale": "scale", "channels": "channels", "extra_channels": "scale"}
GENERATORS: Registry[nn.Module] = Registry("generator", "sr_experiments.generators", GIVEN)
# The part of a frame-recurrent network that makes SR: networks for one image, with further channels behind the LR ones.
SR_NETS: Registry[nn.Module] = Registry("SR net", "sr_experiments.generators", {**GIVEN, "phase": "model.phase"})
