"""Convolutions in int8 in ONNX: QuantizeLinear and DequantizeLinear around inputs and weights, as runtimes expect."""

from typing import Any

import numpy as np
import torch

from sr_experiments.inference.int8 import INPUT_LEVELS, Quantization, QuantizedConvolution

# The entry of ONNX Runtime's session options with which CPUs without VNNI add up products of int8 in more than 16 bits.
EXACT_SUMS = "session.x64quantprecision", "1"


def quantise_onnx(model: Any, layers: Quantization) -> int:
    """Change a model in place: convolutions read uint8 inputs and have int8 weights; return how many do.

    The model is `torch.onnx.export`'s of a `Runnable` of a network with dequantised weights.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {initializer.name: initializer for initializer in graph.initializer}
    nodes: list[Any] = []
    read: dict[tuple[str, float, float], str] = {}  # names of inputs after both operations
    changed = 0

    def constant(name: str, values: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    for node in graph.node:
        name = _layer_of(node, layers)
        if name is None or node.input[1] not in weights:
            nodes.append(node)
            continue
        layer = layers[name]
        key = node.input[0], layer.low, layer.high
        if key not in read:
            step, zero = _step_and_zero(layer)
            prefix = f"{name}.input"
            steps = constant(f"{prefix}_step", np.array(step, np.float32)), constant(f"{prefix}_zero", zero)
            nodes.append(helper.make_node("QuantizeLinear", [node.input[0], *steps], [f"{prefix}_uint8"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{prefix}_uint8", *steps], [f"{prefix}_read"]))
            read[key] = f"{prefix}_read"
        values = torch.from_numpy(numpy_helper.to_array(weights[node.input[1]]).copy())
        integers = constant(f"{name}.weight_int8", layer.integers(values).numpy())
        steps_of_weight = constant(f"{name}.weight_steps", layer.steps.numpy().astype(np.float32))
        zeros = constant(f"{name}.weight_zeros", np.zeros(len(layer.steps), np.int8))
        dequantise = [integers, steps_of_weight, zeros]
        nodes.append(helper.make_node("DequantizeLinear", dequantise, [f"{name}.weight_read"], axis=0))
        node.input[0], node.input[1] = read[key], f"{name}.weight_read"
        nodes.append(node)
        changed += 1
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [initializer for initializer in graph.initializer if initializer.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return changed


def _layer_of(node: Any, layers: Quantization) -> str | None:
    """Return the name of the quantised convolution that a node is; None if it is none."""
    if node.op_type != "Conv":
        return None
    path = node.input[1].removesuffix(".weight").removeprefix("generator.")  # of a Runnable
    of_sr_net = path.removeprefix("srnet.")  # of a recurrent network, whose SR net alone is quantised
    return next((name for name in (path, of_sr_net) if name in layers), None)


def _step_and_zero(layer: QuantizedConvolution) -> tuple[float, np.ndarray]:
    step = (layer.high - layer.low) / (INPUT_LEVELS - 1)
    return step, np.array(round(-layer.low / step), np.uint8)
