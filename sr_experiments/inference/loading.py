"""The network that `sr upscale` was asked for, and the engine that runs it, from checkpoints."""

from collections.abc import Collection, Sequence
from pathlib import Path

from sr_experiments.checkpoints.between import load_between
from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.errors import SRError
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import SAMPLED, Options
from sr_experiments.quantization.engine import make_engine
from sr_experiments.quantization.file import holds_int8


def load_engine(checkpoints: Sequence[Path], options: Options) -> tuple[Engine, str]:
    """Return the engine, and in words what network it runs.

    Raises:
        SRError: as `load` and `make_engine`.
    """
    first = checkpoints[0].expanduser()
    if holds_int8(first):
        _refuse_sampling(_sampling(options).keys() - {"strength"}, str(first))
    return make_engine(
        first, options.device, options.precision, options.tile, options.runtime, lambda: load(checkpoints, options)
    )


def load(checkpoints: Sequence[Path], options: Options) -> tuple[Generator, Checkpoint]:
    """Return the network of a checkpoint, or the one between two, set to sample as the options say.

    The strength of a network that doesn't sample is left to `sizes.Enlarger`.

    Raises:
        SRError: as `load_generator` and `load_between`; or the network has no such option.
    """
    given = _sampling(options)
    if len(checkpoints) == 2:
        generator, found = load_between(checkpoints[0], checkpoints[1], given.pop("strength"))
    else:
        generator, found = load_generator(checkpoints[0])
        if not generator.sampling:
            given.pop("strength", None)
    _refuse_sampling(given.keys() - generator.sampling.keys(), found.source)
    generator.sampling = {**generator.sampling, **given}
    return generator, found


def _sampling(options: Options) -> dict[str, float]:
    return {name: getattr(options, name) for name in SAMPLED if getattr(options, name) is not None}


def _refuse_sampling(names: Collection[str], network: str) -> None:
    for name in sorted(names):
        raise SRError(f"--{name} is for {SAMPLED[name]}, not for {network}: leave it out")
