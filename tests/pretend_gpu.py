"""A GPU that isn't there: tensors lie in memory and say they are on it, and what a real one would refuse is an error.

It shows that all that meets on the GPU has been moved there, that NumPy reads nothing from it, and that what runs in
fewer bits there runs so. The numbers, speed and memory of a GPU it can't show. Each thread and process is without it
unless it opens it itself.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import lightning_fabric.accelerators.cuda as fabric_cuda
import pytorch_lightning.accelerators.cuda as lightning_cuda
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
NAME = "Pretended GPU"
WAITING = ("cpu", "item", "tolist", "nonzero", "__bool__", "__int__", "__float__")
BETWEEN_DEVICES = ("copy_", "__set__", "_has_compatible_shallow_copy_type")
TORCH_CUDA: dict[str, Callable] = {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "set_device": lambda device: None,
    "get_device_name": lambda device=None: NAME,
    "is_bf16_supported": lambda including_emulation=True: True,
    "synchronize": lambda device=None: None,
    "empty_cache": lambda: None,
    "mem_get_info": lambda device=None: (70 << 30, 80 << 30),
    "memory_reserved": lambda device=None: 0,
    "memory_allocated": lambda device=None: 0,
    "max_memory_reserved": lambda device=None: 1 << 30,
    "get_rng_state_all": lambda: [],
    "set_rng_state_all": lambda states: None,
    "manual_seed": lambda seed: None,
}
LIGHTNING: dict[str, Callable] = {
    "num_cuda_devices": lambda: 1,
    "_check_cuda_matmul_precision": lambda device: None,
    "_clear_cuda_memory": lambda: None,
}


class WrongDevice(RuntimeError):
    """What a real GPU would refuse."""


class OnGPU(Tensor):
    """A tensor that says it is on the GPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl


class Generator(torch.Generator):
    """Says it is on the device that was asked for."""

    def __new__(cls, device: Any = "cpu") -> "Generator":
        made = super().__new__(cls, "cpu")
        made.where = torch.device(device)
        return made

    device = property(lambda self: self.where)


class Autocast(torch.autocast):
    """That of the device on which the work is really done."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)


@contextlib.contextmanager
def pretended_gpu(monkeypatch: Any) -> Iterator["_Mode"]:
    """There is one, for PyTorch and for Lightning; gives what counts how often it had to be waited for."""
    for name, instead in TORCH_CUDA.items():
        monkeypatch.setattr(torch.cuda, name, instead)
    for module in (fabric_cuda, lightning_cuda):
        for name in LIGHTNING.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, LIGHTNING[name])
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch, "autocast", Autocast)
    for name in ("is_autocast_enabled", "get_autocast_dtype"):
        of_cpu = functools.partial(lambda original, kind: original("cpu"), getattr(torch, name))
        monkeypatch.setattr(torch, name, of_cpu)
    monkeypatch.setattr(torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda self: None)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter's class is what says where it is
    try:
        with _Mode() as mode:
            yield mode
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


class _Mode(TorchFunctionMode):
    """Sees each call of PyTorch's, asks where its tensors are, and says where its results are."""

    waits = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name, first = getattr(func, "__name__", ""), args[0] if args else None
        if name == "pin_memory":
            return first
        if isinstance(first, OnGPU):
            self.waits += name in WAITING
            if name == "__get__" and func.__self__.__name__ in ("device", "is_cuda", "is_cpu"):
                return {"device": CUDA, "is_cuda": True, "is_cpu": False}[func.__self__.__name__]
            if name in ("numpy", "__array__"):
                raise WrongDevice("NumPy can't read a tensor on the GPU")
            if name == "__reduce_ex__":
                return _plain(first.detach()).__reduce_ex__(*args[1:])
            if name == "__deepcopy__":
                return args[1].setdefault(id(first), _copied(first))
        if name in ("cpu", "cuda"):
            name, func, args = "to", Tensor.to, (first, CPU if name == "cpu" else CUDA)
        asked = _asked(name, args, kwargs)
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if name != "to":
            _check_tensors(func, name, first, inputs)
        if asked:
            args, kwargs = tree_map(lambda x: CPU if _is_device(x) else x, (args, kwargs))
        result = func(*args, **kwargs)
        on_gpu = asked.type == "cuda" if asked else any(isinstance(x, OnGPU) for x in inputs)
        if "generator" in kwargs and kwargs["generator"] is not None:
            _check_generator(kwargs["generator"], on_gpu)
        if name == "to" and asked and isinstance(first, OnGPU) != on_gpu:
            result = result.clone() if result is first else result
            return result.as_subclass(OnGPU) if on_gpu else _plain(result)
        return tree_map(lambda x: _on_gpu(x) if isinstance(x, Tensor) else x, result) if on_gpu else result


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor)


def _on_gpu(tensor: Tensor) -> Tensor:
    return tensor if isinstance(tensor, OnGPU) else tensor.as_subclass(OnGPU)


def _copied(tensor: Tensor) -> Tensor:
    copy = _plain(tensor.detach()).clone().as_subclass(OnGPU).requires_grad_(tensor.requires_grad)
    if getattr(tensor, "_is_param", False):
        copy._is_param = True
    return copy


def _is_device(x: Any) -> bool:
    return isinstance(x, torch.device) or (isinstance(x, str) and x.split(":")[0] in ("cpu", "cuda"))


def _asked(name: str, args: Any, kwargs: dict[str, Any]) -> torch.device | None:
    """The device that a call names, if it names one."""
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    for x in args[1:] if name == "to" else ():
        if isinstance(x, Tensor):
            return CUDA if isinstance(x, OnGPU) else CPU
        if _is_device(x):
            return torch.device(x)
    return None


def _check_tensors(func: Any, name: str, first: Any, inputs: list[Tensor]) -> None:
    """Those with dimensions are on one device; only indices may be on the CPU."""
    sized = [x for x in inputs if x.dim()]
    if len({isinstance(x, OnGPU) for x in sized}) < 2 or name in BETWEEN_DEVICES:
        return
    if name in ("__getitem__", "__setitem__") and isinstance(first, OnGPU):
        return
    places = [("GPU" if isinstance(x, OnGPU) else "CPU", tuple(x.shape)) for x in sized]
    raise WrongDevice(f"{func}: tensors on two devices: {places}")


def _check_generator(generator: torch.Generator, on_gpu: bool) -> None:
    if (generator.device.type == "cuda") != on_gpu:
        raise WrongDevice(f"random numbers of {generator.device} for a tensor that is not there")
