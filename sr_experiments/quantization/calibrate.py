"""Ranges of inputs, steps of weights and corrected biases of every convolution, by NNCF from calibration pictures."""

import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.errors import SRError, first_line
from sr_experiments.extras import install_extra
from sr_experiments.inference.fast import StripNetwork, in_strips
from sr_experiments.inference.int8 import (
    QuantizedConvolution,
    convolutions_of,
    with_zero_on_a_level,
)
from sr_experiments.inference.runtimes import PROBES, converted
from sr_experiments.logging_setup import quietly

NEEDED = f"making an int8 network needs nncf: {install_extra('int8')}"


class NotGoodEnough(SRError):
    """A network can't be had in int8, or not within the bounds and faster than bf16."""


@dataclass(frozen=True)
class Calibrated:
    """A convolution in int8: its steps, and the bias that makes up for the mean error of rounding, (O,)."""

    layer: QuantizedConvolution
    bias: Tensor | None


@torch.inference_mode()
def calibrate(network: nn.Module, scale: int, inputs: Sequence[Tensor]) -> dict[str, Calibrated]:
    """Calibrate the convolutions of a network, in the parts that inference runs it in.

    Args:
        network: maps (1, C, H, W) to (1, C', scale * H, scale * W), C' being at most C; on the CPU.
        scale: of its output.
        inputs: of the network, (1, C, H, W) in [0, 1] of any sizes.

    Returns:
        By name of the convolution in the network, in the order of computation; without those that NNCF leaves out.

    Raises:
        NotGoodEnough: NNCF can't quantise this network.
        SRError: NNCF is not installed.
    """
    channels = inputs[0].shape[1]
    parts = in_strips(network, channels, scale)
    if not isinstance(parts, StripNetwork):
        return _calibrate(network, [(lr,) for lr in inputs])
    found = _calibrate(parts.extract_features, [(lr,) for lr in inputs])
    features = [(parts.extract_features(lr), lr) for lr in inputs]
    return found | _calibrate(parts.reconstruct.network, features)


def _calibrate(part: Callable[..., Tensor], inputs: Sequence[tuple[Tensor, ...]]) -> dict[str, Calibrated]:
    """Calibrate the convolutions of one part, given its inputs."""
    nncf = _nncf()
    from nncf.quantization import advanced_parameters as advanced
    from nncf.quantization import range_estimator as ranges

    # By default the range ends at the mean over the pictures of each one's largest value: darker pictures than white
    # would take part of the white away.
    seen = ranges.RangeEstimatorParameters(
        min=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MIN, ranges.AggregatorType.MIN),
        max=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MAX, ranges.AggregatorType.MAX),
    )
    examples = [[torch.rand(1, x.shape[1], *size) for x in inputs[0]] for size in PROBES]
    try:
        model = converted(part, examples)
        # Whatever is not a convolution stays in higher precision, also the sums of residual networks, whose rounding
        # would add up.
        others = {operation.get_type_name() for operation in model.get_ops()} - {"Convolution"}
        others -= {"Constant", "Parameter", "Result", "Convert"}
        with quietly(), redirect_stdout(io.StringIO()):  # its progress bars
            quantised = nncf.quantize(
                model,
                nncf.Dataset([tuple(x.contiguous().numpy() for x in given) for given in inputs]),
                preset=nncf.QuantizationPreset.MIXED,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(inputs),
                ignored_scope=nncf.IgnoredScope(types=sorted(others), validate=False),
                advanced_parameters=advanced.AdvancedQuantizationParameters(
                    overflow_fix=advanced.OverflowFix.DISABLE,
                    activations_range_estimator_params=seen,
                ),
            )
    except SRError:
        raise
    except Exception as error:  # the converter and NNCF raise all kinds
        raise NotGoodEnough(f"this network can't be quantised: {first_line(error)[:200]}") from error
    quantised_by_path = {operation.get_friendly_name(): operation for operation in quantised.get_ops()}
    found = {}
    for name, operation in convolutions_of(model).items():  # NNCF renames weights, which our names come from
        if calibrated := _read(quantised_by_path[operation.get_friendly_name()]):
            found[name] = calibrated
    return found


def _nncf() -> Any:
    """Import NNCF, which otherwise reports its use and writes to the console."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    try:
        with quietly():
            import nncf
    except ImportError as error:
        raise SRError(NEEDED) from error
    return nncf


def _read(convolution: Any) -> Calibrated | None:
    """Read what NNCF found of a convolution; None if it left it in higher precision."""
    source, weights = (convolution.input_value(i).get_node() for i in range(2))
    if source.get_type_name() != "FakeQuantize" or weights.get_type_name() not in ("Multiply", "FakeQuantize"):
        return None
    low, high = (float(_constant(source.input_value(i)).reshape(-1)[0]) for i in (1, 2))
    if weights.get_type_name() == "Multiply":  # int8 constant times its steps
        steps = _constant(weights.input_value(1)).reshape(-1)
    else:
        steps = _constant(weights.input_value(2)).reshape(-1) / 127
    outputs = convolution.input_value(1).get_partial_shape()[0].get_length()
    if source.input_value(0).get_node().get_type_name() == "Parameter":  # images and frames are in [0, 1], all of it
        low, high = min(low, 0.0), max(high, 1.0)
    steps_of_all = torch.from_numpy(np.broadcast_to(np.abs(steps), (outputs,)).astype(np.float32))
    layer = QuantizedConvolution(*with_zero_on_a_level(low, high), steps_of_all.clamp(min=1e-12))
    return Calibrated(layer, _bias_after(convolution, outputs))


def _bias_after(convolution: Any, outputs: int) -> Tensor | None:
    for target in convolution.output(0).get_target_inputs():
        node = target.get_node()
        if node.get_type_name() == "Add":
            for i in range(2):
                values = node.input_value(i).get_node()
                if values.get_type_name() == "Constant" and values.get_output_size() == 1:
                    bias = _constant(node.input_value(i)).reshape(-1)
                    if len(bias) == outputs:
                        return torch.from_numpy(bias.astype(np.float32).copy())
    return None


def _constant(output: Any) -> np.ndarray:
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.data)
