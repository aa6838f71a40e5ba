"""Networks from LR to SR. To add one: one file with its nn.Module, registered there."""

from typing import TYPE_CHECKING

from sr_experiments.registry import Registry

if TYPE_CHECKING:
    from sr_experiments.generators.generator import Generator

GIVEN = {"scale": "scale", "channels": "channels", "extra_channels": "scale"}
GENERATORS: "Registry[Generator]" = Registry("generator", "sr_experiments.generators", GIVEN)
# SR nets of frame-recurrent networks: image networks that take the warped previous frame as extra channels.
SR_NETS: "Registry[Generator]" = Registry("SR net", "sr_experiments.generators", {**GIVEN, "phase": "model.phase"})
