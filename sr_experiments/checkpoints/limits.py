"""Limits on what a checkpoint can make this program allocate, in proportion to the size of its file."""

import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sr_experiments.errors import SRError

SHARED = 4  # factor by which all tensors together may be larger than the file: some may share their storage
SPARE = 2**22  # values that a network may have besides its weights, such as masks
CREATING = ("empty", "empty_strided", "zeros", "ones", "full", "rand", "randn", "randint", "eye", "arange", "linspace")


def check_archive(file: Path) -> None:
    """Refuse a zip archive that unpacks to more than its size: torch.save doesn't compress."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > file.stat().st_size:
        raise SRError(f"{file} refused: it would unpack to {unpacked} bytes; save it with torch.save, uncompressed")


def check_plain(state: Mapping[str, Tensor], file: Path) -> None:
    """Refuse tensors that are no plain arrays of finite numbers, or larger than their file, and weights in integers."""
    left = SHARED * file.stat().st_size
    for name, tensor in state.items():
        plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided
        if not plain or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
            raise SRError(f"{file} refused: its tensor {name[:100]} is no plain array of real numbers")
        left -= math.prod(tensor.shape) * tensor.element_size()
        if left < 0:
            raise SRError(f"{file} is damaged: its tensors, at {name[:100]}, are larger than the file")
    for name, tensor in state.items():
        if name.endswith((".weight", ".bias")) and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise SRError(
                f"{file} has integers for weights ({name[:100]} is {kind}): give the file before quantisation"
            )
        # NumPy's, since torch's threads take ten times the processor's time for tensors that are as small.
        if tensor.is_floating_point() and not np.isfinite(tensor.detach().float().numpy()).all():
            raise SRError(f"{file} has NaN or infinity in its weights ({name[:100]}): choose another checkpoint")


class Limited(TorchDispatchMode):
    """Context in which networks can be built only up to a size; an operation that would exceed it raises SRError.

    `values` is the number of tensor elements that may be created, `tensors` that of operations that may be run.
    """

    def __init__(self, values: int, tensors: int, message: str) -> None:
        super().__init__()
        self.values = values
        self.tensors = tensors
        self.message = message

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what an operation creates before it is run."""
        if func.overloadpacket.__name__ in CREATING and args:
            size: Iterable[Any] = args[0] if isinstance(args[0], list | tuple) else args[:2]
            self.values -= math.prod(abs(int(side)) for side in size)
        self.tensors -= 1
        if self.values < 0 or self.tensors < 0:
            raise SRError(self.message)
        return func(*args, **(kwargs or {}))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Tell torch not to shield this from its compiler: it would import that first, which takes seconds."""
        return False


def in_proportion(state: Mapping[str, Tensor]) -> Limited:
    """Return a context in which no network can be built that is much larger than its weights."""
    values = SHARED * sum(tensor.numel() for tensor in state.values()) + SPARE
    return Limited(values, 1000 * (len(state) + 100), "the network would be much larger than its weights")
