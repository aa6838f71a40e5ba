"""A network with convolutions in int8: its weights as int8 stands for them, and the steps of each convolution."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.inference.int8 import Quantization, QuantizedConvolution
from sr_experiments.quantization.calibrate import Calibrated


@dataclass(frozen=True)
class QuantizedNetwork:
    """A network for `Engine(generator, precision="int8", int8=layers)`.

    Attributes:
        generator: with dequantised weights and corrected biases.
        layers: the convolutions in int8, by their names in `quantised_part(generator)`.
        facts: what it was made from and with, and what was measured, as plain data.
        config: the generator's registry name and arguments; None for spandrel's.
    """

    generator: Generator
    layers: Quantization
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] | None = None


def quantised_part(generator: Generator) -> nn.Module:
    """Return what is quantised of a network: of a recurrent one the SR net, since flow needs a higher precision."""
    return generator.srnet if isinstance(generator, RecurrentGenerator) else generator


@torch.no_grad()
def with_quantised_weights(generator: Generator, chosen: Mapping[str, Calibrated]) -> Generator:
    """Return a copy of a network whose chosen convolutions have the weights that int8 stands for."""
    copied = copy.deepcopy(generator)
    part = quantised_part(copied)
    for name, calibrated in chosen.items():
        convolution = part.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        weight = convolution.weight
        weight.copy_(calibrated.layer.dequantised(calibrated.layer.integers(weight)))
        if convolution.bias is not None and calibrated.bias is not None:
            convolution.bias.copy_(calibrated.bias)
    return copied


@contextmanager
def reading_levels(generator: Generator, layers: Quantization) -> Iterator[None]:
    """Context in which the convolutions of a network read their inputs as int8 does; else torch computes in fp32."""

    def levels(layer: QuantizedConvolution, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (layer.clamped(inputs[0]), *inputs[1:])

    part = quantised_part(generator)
    hooks = [
        part.get_submodule(name).register_forward_pre_hook(partial(levels, layer)) for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
