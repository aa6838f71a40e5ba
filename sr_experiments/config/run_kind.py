"""What kind of training a configuration asks for; torch is imported only when one of these is called."""

from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]


def is_gan(config: Settings) -> bool:
    """Return whether a term of the objective is adversarial, so that a discriminator is trained."""
    from sr_experiments.losses.objective import is_adversarial

    return any(map(is_adversarial, config["loss"]["terms"].values()))


def is_flow(config: Settings) -> bool:
    """Return whether a term of the objective compares velocities, so that a flow is trained."""
    return any(term.get("name") == "velocity" for term in config["loss"]["terms"].values())


def terms_of_stage(stage: Settings, terms: Mapping[str, Settings]) -> list[tuple[str, str]]:
    """Return the terms that a stage names, each with the key it stands under; `gan_losses` count in a GAN alone."""
    keys = ["losses", *(["gan_losses"] if is_gan({"loss": {"terms": terms}}) else [])]
    return [(key, name) for key in keys for name in stage.get(key, {})]


def compares_sr(term: Settings) -> bool:
    """Return whether a term looks at SR, so that it teaches the SR net."""
    from sr_experiments.losses import LOSSES
    from sr_experiments.losses.objective import inputs_of, is_adversarial

    loss = LOSSES.get(str(term.get("name")))
    return loss is not None and (is_adversarial(term) or not {"sr", "sr_clip"}.isdisjoint(inputs_of(loss)))


def makes_sr(stage: Settings, terms: Mapping[str, Settings]) -> bool:
    """Return whether a stage makes SR, which one that trains the flow net alone does not."""
    named = (terms.get(name, {"name": name}) for _, name in terms_of_stage(stage, terms))
    return "srnet" in stage["trains"] or any(map(compares_sr, named))


def ends_with_sr(config: Settings) -> bool:
    """Return whether the run makes SR when it ends, so that SR can be measured; runs without stages always do."""
    return "stages" not in config or makes_sr(config["stage"][config["stages"][-1]], config["loss"]["terms"])
