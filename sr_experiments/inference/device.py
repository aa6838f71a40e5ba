"""Choose the device and the precision, and tell what kind of error a device raised."""

import torch

from sr_experiments.errors import SRError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the torch device of a name; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        have = ", ".join(["cpu", *[f"cuda:{i}" for i in range(torch.cuda.device_count())]])
        raise SRError(f"--device {name} is not there: choose auto or one of {have}") from error
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """Return one of PRECISIONS; "auto" is fp16 on CUDA, bf16 on a CPU with native support for it, fp32 elsewhere."""
    if name == "auto":
        native = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
        return "fp16" if device.type == "cuda" else "bf16" if native else "fp32"
    if name not in PRECISIONS:
        raise SRError(f"unknown --precision {name}: choose one of auto, {', '.join(PRECISIONS)}")
    return name


def out_of_memory(error: Exception) -> bool:
    """Tell whether torch raised an error because memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


def device_lost(error: Exception) -> bool:
    """Tell whether torch raised an error after which the device can't be used any more."""
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
