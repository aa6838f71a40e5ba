"""What a flow is made of: taken from the run that `init_from` names, and written into the configuration.

So a checkpoint, a resume and a repeated run know `model.mse`, and a student all networks of its teacher.
"""

from collections.abc import Mapping
from typing import Any

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.config.run_kind import is_flow
from sr_experiments.errors import SRError
from sr_experiments.generators.flow import Flow, FlowNetwork
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.generators.spandrel_arch import SpandrelModel
from sr_experiments.registry import plain_data

# By the name of the model: the loss that trains it, what `init_from` has to name, and what that is.
STARTS = {
    "flow": ("flow", "mse", "a finished run or SR checkpoint"),
    "flow_distilled": ("flow_distilled", "teacher", "a run of loss=flow"),
}
OWN = ("name", "steps", "strength", "scale", "channels")  # what a student does not take from its teacher

Config = Mapping[str, Any]


def with_networks(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a new run with the networks that its flow starts from; others as they are.

    Raises:
        SRError: `init_from` does not name them, or names others than a flow can start from or the run has.
    """
    model, loss = config["model"], config["loss"]["name"]
    if model["name"] not in STARTS:
        if (needed := next((name for name, (of, *_) in STARTS.items() if of == loss), None)) is not None:
            raise SRError(f"loss={loss} trains model={needed}, not {model['name']}: set model={needed}")
        return config
    trained_by, part, what = STARTS[model["name"]]
    if not is_flow(config):
        raise SRError(
            f"loss={loss} has no term for the velocity that model={model['name']} learns: set loss={trained_by}"
        )
    source = config["init_from"]
    if not isinstance(source, Mapping) or set(source) != {part}:
        raise SRError(f"model={model['name']} starts from {what}: give init_from={{{part}: <run folder>}}")
    generator, checkpoint = load_generator(source[part])
    named = f"init_from.{part}={source[part]} ({checkpoint.source})"
    if (generator.scale, generator.channels) != (config["scale"], config["channels"]):
        raise SRError(
            f"{named} has scale={generator.scale} channels={generator.channels}, the run scale={config['scale']} "
            f"channels={config['channels']}"
        )
    if part == "mse":
        if isinstance(generator, RecurrentGenerator | FlowNetwork):
            raise SRError(f"{named} does not enlarge single images by itself: give a run of loss=pixel")
        taken = {"mse": _described(generator, checkpoint.generator)}
    else:
        if not isinstance(generator, Flow):
            raise SRError(f"{named} is no flow: give a run of loss=flow")
        assert checkpoint.generator is not None
        taken = {key: value for key, value in checkpoint.generator.items() if key not in OWN}
    taken = plain_data(taken)
    for key, value in taken.items():
        if model.get(key) is not None and plain_data(model[key]) != value:
            raise SRError(f"model.{key}={model[key]} is not that of init_from.{part}, {value}: leave it out")
    return {**config, "model": {**model, **taken}}


def _described(generator: Generator, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return name and arguments of a network, with which it can be built again."""
    if recorded is None:
        assert isinstance(generator, SpandrelModel)
        options = dict(getattr(generator.net, "hyperparameters", {}))
        return {"name": "spandrel", "arch": generator.arch_id, "options": options}
    return {key: value for key, value in recorded.items() if key not in ("scale", "channels")}
