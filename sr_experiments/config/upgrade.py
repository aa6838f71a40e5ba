"""Configurations of runs made before `loss.terms`, in today's layout: such runs resume to the same bits."""

from typing import Any

# In this order their values were added up; the last bits of a sum depend on it.
STAGE_TERMS = ("pixel", "warp", "ping_pong", "perceptual", "adversarial")


def upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved configuration in today's layout: itself, or a converted copy if it is of the earlier one."""
    config = {**config, "degradation": _renamed_steps(config.get("degradation"))}
    loss = config.get("loss")
    if not isinstance(loss, dict) or "terms" in loss or not isinstance(loss.get("pixel"), dict):
        return config
    gan, start = loss.get("name") == "gan", loss.get("warmup_steps", 0)
    terms = {"pixel": loss["pixel"]}
    criterion = {key: value for key, value in loss["pixel"].items() if key != "weight"}
    stages = {name: _ordered(stage) for name, stage in (config.get("stage") or {}).items()}
    named = {term for name in config.get("stages", ()) for term in _named(stages.get(name, {}), gan)}
    terms |= {name: {"name": name, "criterion": criterion} for name in ("warp", "ping_pong") if name in named}
    if gan:
        ramp = {"ramp": loss.get("ramp_steps", 0), "ramp_shape": loss.get("ramp_shape", "linear")}
        terms["perceptual"] = {**loss["perceptual"], "start": start}
        terms["adversarial"] = {**loss["adversarial"], "start": start, **ramp}
    converted: dict[str, Any] = {"name": loss["name"], "terms": terms}
    if gan:
        converted["discriminator"] = {**loss["discriminator"], "every": 1, "update_margin": None}
    return {**config, "loss": converted, **({"stage": stages} if stages else {})}


def _named(stage: dict[str, Any], gan: bool) -> list[str]:
    return [*stage.get("losses", {}), *(stage.get("gan_losses", {}) if gan else ())]


def _ordered(stage: Any) -> Any:
    """A stage with its terms in the order in which they used to be added up, whatever order they were given in."""
    if not isinstance(stage, dict):
        return stage
    ordered = {
        key: {name: stage[key][name] for name in sorted(stage[key], key=STAGE_TERMS.index)}
        for key in ("losses", "gan_losses")
        if isinstance(stage.get(key), dict) and set(stage[key]) <= set(STAGE_TERMS)
    }
    return {**stage, **ordered}


def _renamed_steps(value: Any) -> Any:
    """The degradation step `any_order` is called `random_order` now; steps lie in lists within lists."""
    if isinstance(value, list):
        return [_renamed_steps(one) for one in value]
    if isinstance(value, dict):
        return {k: "random_order" if (k, v) == ("name", "any_order") else _renamed_steps(v) for k, v in value.items()}
    return value
