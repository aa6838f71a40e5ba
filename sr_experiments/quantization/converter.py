"""Calibrate the traced parts of a network by NNCF: `python -m sr_experiments.quantization.converter FOLDER`.

A process of its own, see `calibrate`. For each part the folder has N.pt, the part in TorchScript, and N.inputs; N.found
is written, or a file with the reason why it can't be.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.errors import first_line
from sr_experiments.inference.int8 import QuantizedConvolution, convolutions_of, with_zero_on_a_level
from sr_experiments.inference.runtimes import PROBES, compile_model, converted
from sr_experiments.quantization.calibrate import REASON

OfConvolution = tuple[float, float, Tensor, Tensor | None]  # range of its input, steps of its weights, its bias
Found = dict[str, OfConvolution]  # by name of the convolution


def main(folder: Path) -> None:
    """Calibrate all parts."""
    for file in sorted(folder.glob("*.pt")):
        inputs = torch.load(file.with_suffix(".inputs"), weights_only=True)
        try:
            with torch.inference_mode():
                found = calibrated(torch.jit.load(file), inputs)
        except Exception as error:  # the converter and NNCF raise all kinds
            (folder / REASON).write_text(first_line(error)[:200], encoding="utf-8")
            return
        torch.save(found, file.with_suffix(".found"))


def calibrated(part: nn.Module, inputs: Sequence[tuple[Tensor, ...]]) -> Found:
    """Calibrate the convolutions of one part, given its inputs, and try the part in int8."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # would report its use
    import nncf
    from nncf.quantization import advanced_parameters as advanced
    from nncf.quantization import range_estimator as ranges

    # By default the range ends at the mean over the pictures of each one's largest value: darker pictures than white
    # would take part of the white away.
    seen = ranges.RangeEstimatorParameters(
        min=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MIN, ranges.AggregatorType.MIN),
        max=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MAX, ranges.AggregatorType.MAX),
    )
    examples = [[torch.rand(1, x.shape[1], *size) for x in inputs[0]] for size in PROBES]
    model = converted(part, examples)
    # Whatever is not a convolution stays in higher precision, also the sums of residual networks, whose rounding would
    # add up.
    others = {operation.get_type_name() for operation in model.get_ops()} - {"Convolution"}
    others -= {"Constant", "Parameter", "Result", "Convert"}
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
    quantised_by_path = {operation.get_friendly_name(): operation for operation in quantised.get_ops()}
    found: Found = {}
    for name, operation in convolutions_of(model).items():  # NNCF renames weights, which our names come from
        if of_one := _read(quantised_by_path[operation.get_friendly_name()]):
            found[name] = of_one
    layers = {name: QuantizedConvolution(low, high, steps) for name, (low, high, steps, _) in found.items()}
    compiled = compile_model(model, "int8", layers)
    for example in examples:  # what OpenVINO crashes at ends this process, not the command's
        compiled(*(x.numpy() for x in example))
    return found


def _read(convolution: Any) -> OfConvolution | None:
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
    return *with_zero_on_a_level(low, high), steps_of_all.clamp(min=1e-12), _bias_after(convolution, outputs)


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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
