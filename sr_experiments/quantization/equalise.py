"""Equalise channels between convolutions, so that one range of int8 fits all of them.

A channel may be divided by a factor where it leaves one convolution and multiplied by it where it enters the next, if
between them is nothing but ReLU, LeakyReLU or PReLU: the network stays the same, and channels of small values no longer
get few of the 256 levels. Cross-layer equalisation of Nagel et al. 2019, arXiv 1906.04721, section 4.1; the factors
also look at the ranges of activations, as SmoothQuant's do (Xiao et al. 2023, arXiv 2211.10438, equation 4).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.generators.generator import Generator
from sr_experiments.quantization.network import quantised_part

HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.PReLU)
SAME = 1e-3  # largest difference of outputs, values in [0, 1], that is rounding


@dataclass
class _Pair:
    first: str  # names of the convolutions
    second: str
    largest: Tensor  # magnitude of each channel between them, (C,)


@torch.inference_mode()
def equalised(generator: Generator, inputs: Sequence[Tensor]) -> Generator:
    """Return an equivalent network with equalised channels, given inputs (1, C, H, W) of its quantised part.

    Where two convolutions follow each other is found by watching the network, and tried: what would change the output
    is left as it is.
    """
    changed = copy.deepcopy(generator)
    part = quantised_part(changed)
    pairs = _watch(part, inputs)
    probe = inputs[0]
    expected = part(probe)
    for pair in pairs.values():
        first, second = part.get_submodule(pair.first), part.get_submodule(pair.second)
        assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
        before = [tensor.clone() for tensor in (*first.parameters(), *second.parameters())]
        weights = second.weight.abs().amax((0, 2, 3))
        factors = (pair.largest.clamp(min=1e-6) / weights.clamp(min=1e-6)).sqrt()
        factors = (factors / factors.log().mean().exp()).clamp(2**-6, 2**6)
        first.weight /= factors.view(-1, 1, 1, 1)
        if first.bias is not None:
            first.bias /= factors
        second.weight *= factors.view(1, -1, 1, 1)
        if not bool(((part(probe) - expected).abs().max() <= SAME).item()):
            for tensor, old in zip((*first.parameters(), *second.parameters()), before, strict=True):
                tensor.copy_(old)
    return changed


def _watch(part: nn.Module, inputs: Sequence[Tensor]) -> dict[str, _Pair]:
    """Find convolutions whose output, through an activation, is the next one's input, by the name of the first."""
    origin: dict[int, tuple[str, Tensor]] = {}  # by id of a tensor: the convolution that it is from, and the tensor
    pairs: dict[str, _Pair] = {}

    def after_convolution(name: str) -> Any:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            if id(given[0]) in origin:
                first, between = origin[id(given[0])]
                largest = between.abs().amax((0, 2, 3))
                pair = pairs.setdefault(first, _Pair(first, name, largest))
                pair.largest = torch.maximum(pair.largest, largest)
            outputs[id(output)] = name, output

        return hook

    outputs: dict[int, tuple[str, Tensor]] = {}  # of convolutions, before their activation

    def before_activation(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        pending.append(outputs.get(id(given[0])))

    def after_activation(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        found = pending.pop()
        if found is not None:
            origin[id(output)] = found[0], output

    pending: list[tuple[str, Tensor] | None] = []
    hooks = []
    for name, module in part.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            hooks.append(module.register_forward_hook(after_convolution(name)))
        elif isinstance(module, HOMOGENEOUS):
            hooks.append(module.register_forward_pre_hook(before_activation))
            hooks.append(module.register_forward_hook(after_activation))
    try:
        for lr in inputs:
            part(lr)
            origin.clear()
            outputs.clear()
    finally:
        for handle in hooks:
            handle.remove()
    return pairs
