"""The weights of DISTS's layers out of its authors' wheel, whose code is not run."""

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from sr_experiments.errors import SRError

MEMBER = "DISTS_pytorch/weights.pt"
SHAPE = (1, 1475, 1, 1)  # of 3 colours and 64 + 128 + 256 + 512 + 512 features


def read_dists(archive: Path, name: str) -> dict[str, Tensor]:
    """Return the weights "alpha" of means and "beta" of covariances, (1, 1475, 1, 1).

    Raises:
        SRError: the archive is damaged, or holds something else.
    """
    try:
        with zipfile.ZipFile(archive) as wheel:
            weights = torch.load(io.BytesIO(wheel.read(MEMBER)), map_location="cpu", weights_only=True)
        found = {key: weights[key].detach().float().contiguous() for key in ("alpha", "beta")}
    except Exception as error:
        raise SRError(f"{archive.name} has no readable weights of {name} ({type(error).__name__}: {error})") from error
    if any(tensor.shape != SHAPE for tensor in found.values()):
        raise SRError(f"{archive.name} has weights of {name} of another shape than {SHAPE}")
    return found
