"""The engine for a checkpoint or a file of `sr quantize`, in whatever precision was asked for."""

import logging
from collections.abc import Callable
from pathlib import Path

from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.errors import SRError
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.device import choose_device, warn_of_slow_int8
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.runtimes import choose_runtime
from sr_experiments.quantization.file import holds_int8, read

log = logging.getLogger(__name__)


def make_engine(
    checkpoint: Path,
    device: str,
    precision: str,
    tile: int | None,
    runtime: str,
    load: Callable[[], tuple[Generator, Checkpoint]],
) -> tuple[Engine, str]:
    """Return the engine, and in words what network it runs; arguments as of `Engine`.

    `load` gives the network where the checkpoint isn't in int8.

    A file of `sr quantize` is in int8. With precision "int8" a checkpoint's network is quantised first, and kept for
    the next time; where that isn't good enough, a line says so and the precision is as for "auto".

    Raises:
        SRError: as `load`, `Engine` and `quantize`.
    """
    if holds_int8(checkpoint):
        if precision not in ("auto", "int8"):
            raise SRError(f"{checkpoint} is in int8: leave --precision out, or give the checkpoint it was made from")
        choose_runtime(runtime, choose_device(device), "int8")
        network = read(checkpoint)
        warn_of_slow_int8()
        return Engine(network.generator, device, "int8", tile, runtime, network.layers), str(network.facts["file"])
    if precision == "int8":
        choose_runtime(runtime, choose_device(device), precision)
    generator, found = load()
    if precision != "int8":
        return Engine(generator, device, precision, tile, runtime), found.source
    # Here, since they import much that other precisions don't need.
    from sr_experiments.quantization.cache import made_once
    from sr_experiments.quantization.calibrate import NotGoodEnough
    from sr_experiments.quantization.pictures import run_folder

    try:
        network = made_once(generator, found, run_folder(checkpoint))
    except NotGoodEnough as error:
        engine = Engine(generator, device, "auto", tile, runtime)
        log.warning("%s: %s is kept", error, engine.precision)
        return engine, found.source
    return Engine(network.generator, device, "int8", tile, runtime, network.layers), f"int8 of {found.source}"
