"""Networks as OpenVINO's models, kept for the next `sr upscale`, which then doesn't need torch.

A file is named by the digest of all that decides what is in it: the checkpoint's content, options, the versions of the
packages and of this code, the CPU. It is a zip archive, whose checksums show damage. What is kept of networks is what
OpenVINO reads, before it is compiled: compiling takes a twentieth of a second, and is left to the machine that runs it.
A folder that can't be written, or a damaged file, costs time, never the picture.
"""

import ctypes
import hashlib
import importlib.util
import json
import logging
import os
import platform
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sr_experiments.checkpoints.places import files_of
from sr_experiments.errors import SRError, first_line
from sr_experiments.files.cache import cache_folder, remove_oldest, touch
from sr_experiments.files.writing import replacing, sha256_of
from sr_experiments.inference.compiled import CompiledModel, CompiledNetwork, openvino_core
from sr_experiments.inference.image_engine import ImageEngine, Traits
from sr_experiments.inference.options import Options
from sr_experiments.inference.tiles import Tile
from sr_experiments.packages.versions import installed_versions

if TYPE_CHECKING:
    from sr_experiments.inference.engine import Engine

log = logging.getLogger(__name__)

FORMAT = 1  # of the files
LIMIT = 16  # files that are kept, the last used
PACKAGES = ("openvino", "torch", "spandrel", "sr-experiments")
CODE = ("checkpoints", "generators", "inference", "quantization")  # packages that decide what a network computes
RECORD = "record.json"


class KeptEngine(ImageEngine):
    """Runs a network that was kept: on the CPU, in OpenVINO, without torch.

    Args:
        network: the network.
        record: what else is known of it, as `write` records it.
        tile: see `ImageEngine`.
    """

    device = "cpu"
    runtime = "openvino"

    def __init__(self, network: CompiledNetwork, record: dict[str, Any], tile: int | None) -> None:
        super().__init__(Traits(**record["traits"]), tile)
        self.precision = str(record["precision"])
        self.source = str(record["source"])
        self._network = network
        self._digest = str(record["digest"])
        self._bytes_per_pixel = float(record["bytes_per_pixel"])

    def digest(self) -> str:
        """Return the digest that the network had."""
        return self._digest

    def bytes_per_pixel(self) -> float:
        """Return what was measured."""
        return self._bytes_per_pixel

    def _enlarge(self, images: Sequence[np.ndarray], tile: Tile) -> list[np.ndarray]:
        return self._network.enlarge(images, tile)


def key_of(checkpoints: Sequence[Path], options: Options) -> str | None:
    """Return the name under which a network is kept; None for those that aren't: on other devices, in other runtimes.

    Raises:
        SRError: there is no such checkpoint.
    """
    if options.steps is not None or options.seed is not None or options.precision == "fp16":
        return None
    if options.runtime not in ("auto", "openvino") or importlib.util.find_spec("openvino") is None:
        return None
    if options.device != "cpu" and (options.device != "auto" or _may_have_gpu()):
        return None
    files = [files_of(path.expanduser()) for path in checkpoints]
    decisive = {
        "format": FORMAT,
        "checkpoints": [[of_one[0].name, sha256_of(*of_one)] for of_one in files],
        "strength": options.strength if len(checkpoints) == 2 else None,
        "precision": options.precision,
        # The pictures that int8 is calibrated with are the run's own.
        "place": str(checkpoints[0].expanduser().resolve()) if options.precision == "int8" else "",
        "versions": installed_versions(PACKAGES),
        "code": sha256_of(*_code()),
        "cpu": _cpu(),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]


def read(key: str, tile: int | None) -> KeptEngine | None:
    """Return the engine of a network that was kept; None if it wasn't, or its file is damaged."""
    file = _file(key)
    try:
        with zipfile.ZipFile(file) as archive:
            record = json.loads(archive.read(RECORD))
            models = []
            for number, of_model in enumerate(record["models"]):
                model = openvino_core().read_model(archive.read(f"{number}.xml"), archive.read(f"{number}.bin"))
                models.append(CompiledModel(model, of_model["precision"], of_model["threads"]))
                models[-1].model = None
        network = CompiledNetwork(models, record["traits"]["scale"], record["strip_margin"])
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged file can fail anywhere
        log.warning("%s is damaged (%s): it is made again", file, first_line(error)[:100])
        return None
    touch(file)
    return KeptEngine(network, record, tile)


def write(key: str, engine: "Engine", source: str) -> None:
    """Keep an engine's network, if OpenVINO runs all of it; `source` says in words what it is."""
    from sr_experiments.inference.device import computes_in_int8  # here, since it imports torch

    if engine.compiled is None or (engine.precision == "int8" and not computes_in_int8()):  # which is said each time
        return
    network = engine.compiled.network
    record = {
        "traits": asdict(engine.traits),
        "precision": engine.precision,
        "source": source,
        "digest": engine.digest(),
        "bytes_per_pixel": engine.bytes_per_pixel(),
        "strip_margin": network.margin,
        "models": [{"precision": model.precision, "threads": model.threads} for model in network.models],
    }
    file = _file(key)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            archive.writestr(RECORD, json.dumps(record))
            for number, model in enumerate(network.models):
                _add(archive, str(number), model)
        remove_oldest(file.parent, LIMIT)
    except (OSError, SRError) as error:
        log.warning("%s can't be written (%s): the network is prepared each time", file.parent, first_line(error))


def _add(archive: zipfile.ZipFile, name: str, compiled: CompiledModel) -> None:
    import openvino as ov

    with tempfile.TemporaryDirectory(prefix="sr_openvino_") as folder:
        ov.save_model(compiled.model, Path(folder, f"{name}.xml"), compress_to_fp16=False)
        for extension in ("xml", "bin"):
            archive.write(Path(folder, f"{name}.{extension}"), f"{name}.{extension}")
    compiled.model = None


def _file(key: str) -> Path:
    return cache_folder() / "openvino" / f"{key}.zip"


def _code() -> list[Path]:
    package = Path(__file__).parents[1]
    return sorted(file for name in CODE for file in (package / name).rglob("*.py"))


def _cpu() -> dict[str, object]:
    """Return what precision and number of threads are chosen by."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": told.get("model name") or f"{platform.machine()} {platform.processor()}",
        "flags": told.get("flags") or told.get("Features"),
        "cores": [os.cpu_count(), usable],
        "threads": [os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")],
    }


def _may_have_gpu() -> bool:
    """Tell, without torch, whether it might find a GPU: a driver is installed, or it is a Mac."""
    if sys.platform == "darwin":
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()  # AMD's
    return True
