"""Convolutions in int8: what is known of each, and how OpenVINO is told.

A quantised convolution reads its input as 256 levels over a fixed range, and has weights of 255 levels, -127 to 127,
with one step size for each output channel. Between convolutions, sums and activations are of higher precision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sr_experiments.inference.device import computes_in_int8

INPUT_LEVELS, WEIGHT_LEVELS = 256, 255


@dataclass(frozen=True)
class QuantizedConvolution:
    """The steps of one convolution, whose bias and dequantised weights the network itself has.

    Attributes:
        low, high: the range of its input, with 0 in it on a level; values beyond are clamped.
        steps: of its weights, (output channels,).
    """

    low: float
    high: float
    steps: Tensor

    def integers(self, weight: Tensor) -> Tensor:
        """Return the weights (O, I, H, W) as int8."""
        return (weight / self._steps()).round().clamp(-127, 127).to(torch.int8)

    def dequantised(self, integers: Tensor) -> Tensor:
        """Return the weights (O, I, H, W) that int8 stands for."""
        return integers.float() * self._steps()

    def clamped(self, x: Tensor) -> Tensor:
        """Return the input as the convolution reads it."""
        step = (self.high - self.low) / (INPUT_LEVELS - 1)
        return ((x.clamp(self.low, self.high) - self.low) / step).round() * step + self.low

    def _steps(self) -> Tensor:
        return self.steps.view(-1, 1, 1, 1)


Quantization = Mapping[str, QuantizedConvolution]  # by name of the convolution in the network


def steps_of(weight: Tensor) -> Tensor:
    """Return the steps (O,) of weights (O, I, H, W): the largest of each output channel is on the last level."""
    return (weight.abs().amax((1, 2, 3)) / 127).clamp(min=1e-12)


def with_zero_on_a_level(low: float, high: float) -> tuple[float, float]:
    """Widen a range until it holds 0, and move it so that 0 is one of its levels."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-6:
        return 0.0, 1.0
    step = (high - low) / (INPUT_LEVELS - 1)
    zero = round(-low / step)
    # The end that rounding would cut off keeps its place.
    step = max(-low / zero if zero else 0.0, high / (INPUT_LEVELS - 1 - zero) if zero < INPUT_LEVELS - 1 else 0.0)
    return -zero * step, (INPUT_LEVELS - 1 - zero) * step


def convolutions_of(model: Any) -> dict[str, Any]:
    """Return OpenVINO's convolutions that have constant weights, by their names in the network, in its order."""
    found = {}
    for operation in model.get_ordered_ops():
        if operation.get_type_name() == "Convolution" and (name := _name(operation)):
            found[name] = operation
    return found


def _name(convolution: Any) -> str | None:
    """Return the name of a convolution in the network, which the converter gives its weights; None without one."""
    node = convolution.input_value(1).get_node()
    path = node.get_friendly_name()
    if node.get_type_name() != "Constant" or not path.startswith("self.") or not path.endswith(".weight"):
        return None
    return path.removeprefix("self.").removeprefix("method_of.").removesuffix(".weight")


def quantise(model: Any, layers: Quantization) -> None:
    """Tell OpenVINO, in place, which convolutions of a model to compute in int8.

    Without VNNI it would add products of int8 in pairs in 16 bits, which are too few: the pixels would be wrong. There
    it isn't told that weights are integers, and computes the same in fp32.
    """
    from openvino import opset13

    exact = computes_in_int8()

    def constant(values: Any) -> Any:
        return opset13.constant(np.asarray(values, dtype=np.float32))

    inputs: dict[tuple[str, int, float, float], Any] = {}  # convolutions of one input share its levels
    for name, convolution in convolutions_of(model).items():
        if name not in layers:
            continue
        layer = layers[name]
        source = convolution.input_value(0)
        key = source.get_node().get_friendly_name(), source.get_index(), layer.low, layer.high
        if key not in inputs:
            low, high = constant(layer.low), constant(layer.high)
            inputs[key] = opset13.fake_quantize(source, low, high, low, high, INPUT_LEVELS)
        convolution.input(0).replace_source_output(inputs[key].output(0))
        if not exact:
            continue
        largest = 127 * layer.steps.view(-1, 1, 1, 1).numpy()
        weights = opset13.fake_quantize(
            convolution.input_value(1), constant(-largest), constant(largest), constant(-largest), constant(largest),
            WEIGHT_LEVELS,
        )  # fmt: skip
        convolution.input(1).replace_source_output(weights.output(0))
    model.validate_nodes_and_infer_types()
