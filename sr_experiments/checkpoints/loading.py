"""Build the network of a checkpoint and fill it with its weights."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sr_experiments.checkpoints.detection import DETECTORS, detect, refused
from sr_experiments.checkpoints.key_styles import behind_prefixes, networks_in, to_spandrel_names
from sr_experiments.checkpoints.limits import in_proportion
from sr_experiments.checkpoints.reading import Checkpoint, read
from sr_experiments.errors import SRError, first_line
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.spandrel_arch import SpandrelModel, recognise
from sr_experiments.packages.extras import install_extra
from sr_experiments.registry import build

UNUSED = "upsample_func.kernels"  # TecoGAN-PyTorch saves the constants of its bicubic upsampling with the weights


def load_generator(path: str | Path) -> tuple[Generator, Checkpoint]:
    """Return the network of a checkpoint with its weights, in eval mode; `path` as for `read`.

    Raises:
        SRError: as in `read`; neither this project nor spandrel knows the network; weights are missing.
    """
    checkpoint = read(path)
    return generator_of(checkpoint), checkpoint


def generator_of(checkpoint: Checkpoint) -> Generator:
    """Build the network of a checkpoint with its weights, in eval mode; errors as of `load_generator`."""
    generator = _generator_of(checkpoint)
    generator.bits = checkpoint.bits
    return generator


def _generator_of(checkpoint: Checkpoint) -> Generator:
    if checkpoint.generator is None:
        return _build_by_spandrel(checkpoint)
    generator = _build(checkpoint, checkpoint.generator)
    own = generator.state_dict()
    weights = {name: tensor for name, tensor in checkpoint.state_dict.items() if name != UNUSED}
    weights = to_spandrel_names(weights, own)
    wrong = [name for name in own if name not in weights or own[name].shape != weights[name].shape]
    wrong += [name for name in weights if name not in own]
    if wrong:
        raise SRError(
            f"{checkpoint.source} does not hold all weights of {checkpoint.generator['name']} and no others: "
            f"{len(wrong)} missing, superfluous or of another shape ({', '.join(wrong[:3])})"
        )
    generator.load_state_dict({name: weights[name] for name in own})
    return generator.eval()


def _build(checkpoint: Checkpoint, config: Mapping[str, Any]) -> Generator:
    """Build the network of a registry name and arguments, which a file records or which its weights show."""
    inferred = detect(checkpoint.state_dict) or {}
    if inferred.get("name") == config["name"]:
        if config.get("inner_scale"):  # of Compact; this is the scale that its weights show
            inferred = {**inferred, "scale": config.get("scale"), "inner_scale": inferred["scale"]}
        wrong = [k for k, v in inferred.items() if k != "phase" and _contradicts(config.get(k, v), v)]
        if wrong:  # refused before memory is allocated for a wrong record
            recorded = {key: config[key] for key in wrong}
            raise SRError(
                f"{checkpoint.source} is damaged: its record says {_options(recorded)}, "
                f"its weights are of {_options({key: inferred[key] for key in wrong})}"
            )
    try:
        with in_proportion(checkpoint.state_dict):
            return build("generator", GENERATORS, config)
    except Exception as error:  # a record can hold anything, and each network fails in its own way
        raise SRError(
            f"{checkpoint.source} is damaged: no network can be built from its record "
            f"{_options(config)[:200]} ({first_line(error)[:100]})"
        ) from error


def _contradicts(recorded: Any, inferred: Any) -> bool:
    if isinstance(recorded, Mapping) and isinstance(inferred, Mapping):  # an SR net's, perhaps without its defaults
        return any(recorded.get(key, value) != value for key, value in inferred.items())
    return not isinstance(inferred, Mapping) and recorded != inferred


def _options(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in config.items())


def _build_by_spandrel(checkpoint: Checkpoint) -> Generator:
    known = ", ".join(sorted(DETECTORS))
    if reason := refused(checkpoint.state_dict):
        raise SRError(f"{checkpoint.source}: {reason}")
    if len(several := networks_in(checkpoint.state_dict)) > 1:
        raise SRError(f"{checkpoint.source}: it holds several networks, {', '.join(several)}: keep the generator alone")
    names = list(checkpoint.state_dict)
    found = f"{checkpoint.source}: {len(names)} tensors, the first {', '.join(names[:3])}"
    if importlib.util.find_spec("spandrel") is None:
        raise SRError(f"{found}. Supported are {known}; with spandrel, many more: {install_extra('spandrel')}")
    try:
        with in_proportion(checkpoint.state_dict):
            generator = _recognise(checkpoint)
    except SRError as error:
        raise SRError(f"{checkpoint.source}: {error}") from error
    if generator is None:
        raise SRError(f"{found}. Supported are {known}, and what spandrel reads; this is none of them")
    checkpoint.source = checkpoint.source.replace("unknown network", generator.arch)
    return generator.eval()


def _recognise(checkpoint: Checkpoint) -> SpandrelModel | None:
    """Let spandrel recognise the weights, also behind prefixes that all names share."""
    for state in behind_prefixes(checkpoint.state_dict):
        if generator := recognise(state):
            checkpoint.state_dict = state
            return generator
    return None
