"""The engine that the options of `sr upscale` ask for: of a network that was kept, or one made now."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sr_experiments.inference import kept
from sr_experiments.inference.image_engine import ImageEngine
from sr_experiments.inference.options import Options

log = logging.getLogger(__name__)


def engine_for(checkpoints: Sequence[Path], options: Options) -> tuple[ImageEngine, Options]:
    """Return the engine, and the options that are left to do, without a strength that decided what the network is."""
    engine, network = _kept_or_made(checkpoints, options)
    precision = engine.precision
    if options.precision == "auto" and precision == "bf16":
        precision = "bf16 (off fp32 by up to some levels of 255; --precision fp32 is exact, and slower)"
    log.info("x%d, %s; %s, %s, %s", engine.scale, network, engine.device, precision, engine.runtime)
    decided = len(checkpoints) == 2 or engine.traits.sampling
    return engine, replace(options, strength=None) if decided else options


def _kept_or_made(checkpoints: Sequence[Path], options: Options) -> tuple[ImageEngine, str]:
    """Return the engine, and in words what network it runs: the one that was kept, or one made now, and kept."""
    key = kept.key_of(checkpoints, options)
    if key is not None and (found := kept.read(key, options.tile)) is not None:
        return found, found.source
    from sr_experiments.inference.loading import load_engine  # here, since it imports torch, which takes seconds

    engine, network = load_engine(checkpoints, options)
    if key is not None and options.precision in ("auto", engine.precision):  # not in int8: that is said each time
        kept.write(key, engine, network)
    return engine, network
