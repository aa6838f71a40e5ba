"""Networks in fp16 in ONNX, and how to check them on a CPU, where ONNX Runtime computes fp16 in fp32."""

from typing import Any

import numpy as np


def to_fp16(model: Any, fp16_images: bool) -> Any:
    """Return a model that computes in fp16; its inputs and outputs are fp32 or, with `fp16_images`, fp16.

    Positions that an image is sampled at stay in fp32: fp16 can't tell pixels apart above 2048.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    converted = OnnxModel(
        convert_float_to_float16(
            model,
            keep_io_types=not fp16_images,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, "GridSample"],
            node_block_list=_makes_positions(model.graph),
        )
    )
    converted.topological_sort()
    del converted.model.graph.value_info[:]  # the converter leaves wrong types in it, of the scales of Resize
    _unrounded(converted.model)
    return converted.model


def _unrounded(model: Any) -> None:
    """Let nodes in fp32 give each other their values as they are: the converter has them rounded to fp16 between."""
    from onnx import TensorProto

    graph = model.graph
    kind = {
        node.output[0]: (next(a.i for a in node.attribute if a.name == "to"), node.input[0])
        for node in graph.node
        if node.op_type == "Cast"
    }
    fp32 = _of_type(model, TensorProto.FLOAT)
    for node in graph.node:
        for i, name in enumerate(node.input):
            to, narrow = kind.get(name, (None, ""))
            narrowed_to, wide = kind.get(narrow, (None, ""))
            if to == TensorProto.FLOAT and narrowed_to == TensorProto.FLOAT16 and wide in fp32:
                node.input[i] = wide
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    while unused := [node for node in graph.node if not used.intersection(node.output)]:
        for node in unused:
            graph.node.remove(node)
        used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}


def _of_type(model: Any, kind: int) -> set[str]:
    """Return the names of a graph's values of one element type, weights apart."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name for value in values if value.type.tensor_type.elem_type == kind}


def _makes_positions(graph: Any) -> list[str]:
    """Return the names of the nodes between convolutions and the positions of GridSample."""
    maker = {output: node for node in graph.node for output in node.output}
    found: dict[str, Any] = {}
    open_values = [node.input[1] for node in graph.node if node.op_type == "GridSample"]
    while open_values:
        node = maker.get(open_values.pop())
        if node is not None and node.op_type != "Conv" and node.name not in found:
            found[node.name] = node
            open_values += node.input
    return list(found)


def imitated(model: Any) -> Any:
    """Return a model in fp32 that rounds to fp16 whatever the given one makes in fp16.

    On a CPU, ONNX Runtime runs nodes in fp16 in fp32, and leaves out the rounding between them: what overflows on a GPU
    would not be seen.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, fp16 = model.graph, _of_type(model, TensorProto.FLOAT16)
    nodes: list[Any] = []

    def round_to_fp16(exact: str, name: str) -> None:
        """Add nodes that round a value, and call it `name`."""
        nodes.append(helper.make_node("Cast", [exact], [f"{name}:fp16"], to=TensorProto.FLOAT16))
        nodes.append(helper.make_node("Cast", [f"{name}:fp16"], [name], to=TensorProto.FLOAT))

    def widened(tensor: Any) -> Any:
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)

    inputs = {value.name for value in graph.input} & fp16
    for name in sorted(inputs):
        round_to_fp16(name, f"{name}:rounded")
    for node in graph.node:
        node.input[:] = [f"{name}:rounded" if name in inputs else name for name in node.input]
        for attribute in node.attribute:
            if attribute.t.data_type == TensorProto.FLOAT16:
                attribute.t.CopyFrom(widened(attribute.t))
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
        rounded = [name for name in node.output if name in fp16]
        node.output[:] = [f"{name}:exact" if name in fp16 else name for name in node.output]
        nodes.append(node)
        for name in rounded:
            round_to_fp16(f"{name}:exact", name)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(widened(tensor))
    for value in (*graph.input, *graph.output):
        if value.name in fp16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model
