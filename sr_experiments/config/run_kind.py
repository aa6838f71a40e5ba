"""What kind of training a configuration asks for; imports no torch, so that commands can ask before they load it."""

from collections.abc import Collection, Mapping
from typing import Any


def is_gan(config: Mapping[str, Any]) -> bool:
    """Return whether a discriminator is trained."""
    return config["loss"]["name"] == "gan"


def makes_sr(trains: Collection[str], losses: Collection[str]) -> bool:
    """Return whether a stage with these networks and losses makes SR, which a stage of the flow net alone does not."""
    return "srnet" in trains or "pixel" in losses


def ends_with_sr(config: Mapping[str, Any]) -> bool:
    """Return whether the run makes SR when it ends, so that SR can be measured; runs without stages always do."""
    if "stages" not in config:
        return True
    last = config["stage"][config["stages"][-1]]
    return makes_sr(last["trains"], last["losses"])
