"""What to type after a run: the words of commands that continue it, or train a GAN from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sr_experiments.config.declared import conf_folder
from sr_experiments.config.quoting import from_config, override
from sr_experiments.config.run_kind import is_flow

GAN_STEPS = 150  # until the adversarial weight of conf/loss/gan.yaml is full


def longer(config: Mapping[str, Any], steps: int) -> str | None:
    """Return the override with which a run trains for so many steps, of a run in stages in its last one.

    None where it would change a stage that was trained already, too.
    """
    stages = config.get("stages")
    if not isinstance(stages, list) or not stages:
        return override("trainer.max_steps", steps)
    last = stages[-1]
    if stages.count(last) > 1:
        return None
    others = sum(int(config["stage"][stage]["steps"]) for stage in stages[:-1])
    return override(f"++stage.{last}.steps", steps - others)


def sharpen(config: Mapping[str, Any], folder: Path) -> list[str] | None:
    """Return the words of a training that makes a GAN of a run without one, with its configuration otherwise.

    None where conf/loss/gan.yaml doesn't go with the terms or stages of the run.
    """
    if is_flow(config) or config["channels"] not in (1, 3):  # its perceptual loss is of photographs
        return None
    words = [*from_config(folder), "+loss=gan"]
    for group in ("pixel", "perceptual"):
        option = config["loss"]["terms"].get(group, {}).get("name", "none")
        if not (conf_folder() / "loss" / group / f"{option}.yaml").is_file():
            if option != "none":
                return None
        elif option != "none":
            words.append(f"loss/{group}={option}")  # else its arguments would be mixed with those of another
    words += [override("init_from", folder), override("name", _name_of_gan(str(config["name"])))]
    steps = int(config["trainer"]["max_steps"])
    if "stages" in config:
        name = _gan_stage(config)
        if name is None:
            return None
        stage = config["stage"][name]
        words.append(override("stages", [name]))
        if stage["clip_length"] < 3:
            words.append(f"stage.{name}.clip_length=3")  # the discriminator judges three frames
        if config["optim"]["accumulate"] > 1:
            words.append(f"stage.{name}.update_margin=null")
        steps = int(stage["steps"])
    if steps <= GAN_STEPS:
        words += [f"loss.terms.{term}=0" for term in ("perceptual.start", "adversarial.start", "adversarial.ramp")]
    return words


def _gan_stage(config: Mapping[str, Any]) -> str | None:
    """Return the stage to train as a GAN: the run's last, or else the joint one."""
    of_network = config["model"]
    no_flow_net = of_network.get("flow") == "lucas_kanade" or of_network.get("memory", "warped") != "warped"
    for name in (config["stages"][-1], "joint"):
        stage = (config.get("stage") or {}).get(name) or {}
        if stage.get("gan_losses") and not (no_flow_net and "fnet" in stage["trains"]):
            return str(name)
    return None


def _name_of_gan(name: str) -> str:
    return name.replace("_pixel_", "_gan_") if "_pixel_" in name else f"{name}_gan"
