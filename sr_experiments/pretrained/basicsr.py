"""The parameters of NIQE's model of pristine photographs out of BasicSR's archive, whose code is not run."""

import io
import tarfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sr_experiments.errors import SRError
from sr_experiments.pretrained.catalogue import BASICSR

MEMBER = f"basicsr-{BASICSR.version}/basicsr/metrics/niqe_pris_params.npz"


def read_niqe(archive: Path, name: str) -> dict[str, Tensor]:
    """Return "mean" (36,) and "covariance" (36, 36) of the features, float64.

    Raises:
        SRError: the archive is damaged, or holds something else.
    """
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(MEMBER)
            assert member is not None
            with np.load(io.BytesIO(member.read()), allow_pickle=False) as arrays:
                found = {key: torch.from_numpy(arrays[f"{key}_pris_param"].copy()) for key in ("mu", "cov")}
            return {"mean": found["mu"].view(36), "covariance": found["cov"].view(36, 36)}
    except Exception as error:
        raise SRError(f"{archive.name} has no readable {name} ({type(error).__name__}: {error})") from error
