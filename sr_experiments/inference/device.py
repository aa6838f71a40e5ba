"""Choose the device and the precision, and tell what kind of error a device raised."""

import logging

import torch

from sr_experiments.errors import SRError
from sr_experiments.inference.memory import budget_on_host

log = logging.getLogger(__name__)

# What torch computes in; int8 is OpenVINO's, and torch does what is around it.
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32}


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
    """Return one of PRECISIONS; "auto" is fp16 on CUDA, bf16 on a CPU with native support for it, fp32 elsewhere.

    Without that support, OpenVINO computes in fp32 whatever it is told, and PyTorch emulates bf16 slowly: then fp32 is
    used, and a line says so.
    """
    native = device.type == "cpu" and computes_in_bf16()
    if name == "auto":
        return "fp16" if device.type == "cuda" else "bf16" if native else "fp32"
    if name not in PRECISIONS:
        raise SRError(f"unknown --precision {name}: choose one of auto, {', '.join(PRECISIONS)}")
    if name == "bf16" and device.type == "cpu" and not native:
        log.warning("--precision bf16: this CPU doesn't compute in bf16, so fp32 is used")
        return "fp32"
    return name


def computes_in_bf16() -> bool:
    """Tell whether the CPU has instructions for products in bf16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def computes_in_int8() -> bool:
    """Tell whether the CPU has instructions for products in int8: VNNI, AMX or, on ARM, dot products."""
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8", "dot"))


def warn_of_slow_int8() -> None:
    """Say that int8 is slow where the CPU has no instructions for it."""
    if not computes_in_int8():
        log.warning("this CPU has no instructions for int8 (VNNI): it is computed in fp32 here, exactly, but no faster")


def memory_budget(device: torch.device) -> int:
    """Return how many bytes a network may take on a device now: half of what is free; on a CPU as `budget_on_host`."""
    if device.type != "cuda":
        return budget_on_host()
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (free + cached) // 2


def out_of_memory(error: Exception) -> bool:
    """Tell whether torch raised an error because memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


def device_lost(error: Exception) -> bool:
    """Tell whether torch raised an error after which the device can't be used any more."""
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
