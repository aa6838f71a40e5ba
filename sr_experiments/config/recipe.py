"""A recipe, `experiment=`, of which the command line replaces a component by another."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from sr_experiments.config.declared import Declared, conf_folder, group_place
from sr_experiments.config.resume import given_keys
from sr_experiments.errors import SRError

log = logging.getLogger(__name__)


def leave_out_unused(config: DictConfig) -> None:
    """Reset the arguments that a recipe sets for a component which the command line replaces by another.

    `experiment=esrgan_x4 loss/perceptual=lpips` keeps the recipe's weight of the term, which every term has. It leaves
    out the recipe's VGG layers, and the YAML file of `lpips` decides in their place.

    Args:
        config: composed by Hydra, changed in place.

    Raises:
        SRError: the recipe's stages are not for the network that is chosen.
    """
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    path = _file("experiment", str(choices.get("experiment")))
    if path is None:
        return
    recipe: Any = OmegaConf.load(path)
    declared, given = Declared(conf_folder()), given_keys()
    overridden = {
        key: option for entry in recipe.get("defaults", []) if entry != "_self_" for key, option in entry.items()
    }
    groups = {"optim": "adam", **{key.removeprefix("override /"): option for key, option in overridden.items()}}
    for group, of_recipe in groups.items():
        chosen = str(choices.get(group))
        if chosen in (of_recipe, "None"):
            continue
        place = group_place(group, chosen)
        file = _file(group, chosen)
        own: Any = OmegaConf.load(file) if file else {}
        if group == "model" and "stages" in recipe and "stages" not in own:
            raise SRError(
                f"experiment={path.stem} trains in stages, which model={chosen} doesn't have: choose one for video, "
                "or leave out the recipe"
            )
        now, common = OmegaConf.select(config, place), declared.common(place)
        unused = [key for key in OmegaConf.select(recipe, place) or {} if key in now and key not in common]
        unused = [key for key in unused if f"{place}.{key}" not in given]
        with open_dict(now):
            for key in unused:
                now.pop(key)
                if key in own:
                    now[key] = own[key]
        if unused:
            names = ", ".join(f"{place}.{key}" for key in unused)
            log.warning("%s: set by experiment=%s for %s, not used for %s", names, path.stem, of_recipe, chosen)


def _file(group: str, option: str) -> Path | None:
    """Return the YAML file of a group's option, of this project or in a folder of --config-dir; None if none is."""
    folders = [Path(one.path) for one in HydraConfig.get().runtime.config_sources] if HydraConfig.initialized() else []
    files = (folder / group / f"{option}.yaml" for folder in (conf_folder(), *folders))
    return next((file for file in files if file.is_file()), None)
