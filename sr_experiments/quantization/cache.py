"""Networks in int8 that were made from a checkpoint for `sr upscale`, kept for the next time.

A file is named by the digest of the network's weights, the pictures' place and the versions of what made it. What can't
be had in int8 is remembered too. A cache that can't be written or is damaged costs time, never the picture.
"""

import contextlib
import hashlib
import json
import logging
from pathlib import Path

from filelock import FileLock, Timeout

from sr_experiments.checkpoints.digest import network_digest
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.errors import SRError
from sr_experiments.files.cache import cache_folder, remove_oldest, touch
from sr_experiments.files.writing import replacing
from sr_experiments.generators.generator import Generator
from sr_experiments.packages.versions import installed_versions
from sr_experiments.quantization.calibrate import ConverterDied, NotGoodEnough
from sr_experiments.quantization.choose import Bounds
from sr_experiments.quantization.file import FORMAT, read, write
from sr_experiments.quantization.network import QuantizedNetwork
from sr_experiments.quantization.pictures import find_pictures
from sr_experiments.quantization.quantize import PACKAGES, quantize, refuse_unsuited
from sr_experiments.quantization.tuned import tuned_for_int8

log = logging.getLogger(__name__)

LIMIT = 16  # networks that are kept, the last used
IMAGES = 64
BOUNDS = Bounds(max_drop=0.05, fidelity=45.0)


def made_once(generator: Generator, found: Checkpoint, run: Path | None) -> QuantizedNetwork:
    """Return a network in int8, made now or at an earlier time; of processes that start together, one makes it.

    Args:
        generator: the network in fp32.
        found: the checkpoint that it is from.
        run: its run folder, whose validation images are used; None for the packaged photographs.

    Raises:
        NotGoodEnough: it can't be had.
        SRError: as `quantize`.
    """
    refuse_unsuited(generator, found)
    folder = cache_folder() / "int8"
    file = folder / f"{_key(generator, run)}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file.with_suffix(".lock"))
        with lock:
            if (kept := _kept(file)) is not None:
                return kept
            made = _make(generator, found, run, file)
            remove_oldest(folder, LIMIT)
            return made
    except (OSError, Timeout) as error:
        log.warning("%s can't be written (%s): the network in int8 is made each time", folder, error)
        return _quantised(generator, found, run)


def _make(generator: Generator, found: Checkpoint, run: Path | None, file: Path) -> QuantizedNetwork:
    log.info("making this network's int8 form, once: minutes, see %s", file)
    try:
        network = _quantised(generator, found, run)
    except ConverterDied:  # not remembered: perhaps there was too little memory
        raise
    except NotGoodEnough as error:
        with contextlib.suppress(SRError), replacing(_refusal(file)) as temporary:
            temporary.write_text(json.dumps({"reason": str(error)}), encoding="utf-8")
        raise
    try:
        write(file, network)
    except SRError as error:
        log.warning("%s; the network in int8 is not kept", error)
    return network


def _quantised(generator: Generator, found: Checkpoint, run: Path | None) -> QuantizedNetwork:
    return quantize(generator, found, find_pictures(generator, IMAGES, run=run), BOUNDS, tuned_for_int8(run))


def _kept(file: Path) -> QuantizedNetwork | None:
    """Return what was made earlier; None if nothing was, or it is damaged. A refusal is raised again."""
    refusal = _refusal(file)
    if refusal.is_file():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            raise NotGoodEnough(str(json.loads(refusal.read_text(encoding="utf-8"))["reason"]))
    if not file.is_file():
        return None
    try:
        network = read(file)
    except SRError as error:
        log.warning("%s: it is made again", error)
        return None
    touch(file)
    return network


def _refusal(file: Path) -> Path:
    return file.with_suffix(".json")


def _key(generator: Generator, run: Path | None) -> str:
    what = {
        "network": network_digest(generator),
        "run": str(run.resolve()) if run else None,
        "versions": installed_versions(PACKAGES),
        "format": FORMAT,
        "bounds": [BOUNDS.max_drop, BOUNDS.fidelity, IMAGES],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
