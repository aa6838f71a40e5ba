#!/usr/bin/env bash
# convert_float_to_float16 rounds what nodes kept in fp32 give to each other.
#
# One would expect: nodes in node_block_list, or of a kind in op_block_list ("List of nodes to leave as float32"), compute
#   in fp32, and a chain of them is as exact as before: a cast in front of the first, one behind the last.
# What happens: a cast to float16 and one back stand between every two of them. Arithmetic is in fp32, all results are
#   float16's. A column number of 4095 is 4096 before the next node reads it.
# Why it matters: one keeps nodes in fp32 for their results, such as the positions that a frame is warped at. With all of
#   them in the list, the picture still moves, by up to half a pixel from column 1024 on and a whole one from 2048 on.
# Instead: let nodes read through the pairs of casts afterwards: where a Cast to FLOAT reads a Cast to FLOAT16 of an fp32
#   value, take that value.
# Versions: onnxruntime 1.32.0 (onnxruntime.transformers.float16), onnx 1.23.2, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.transformers.float16 import convert_float_to_float16

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("onnxruntime", "onnx")))
# Columns 0 to 4095, moved by half a pixel and back: each node is to stay in fp32.
nodes = [
    helper.make_node("Range", ["start", "end", "step"], ["columns"], name="range"),
    helper.make_node("Add", ["columns", "half"], ["moved"], name="add"),
    helper.make_node("Sub", ["moved", "half"], ["y"], name="sub"),
]
constants = {"start": 0, "end": 4096, "step": 1, "half": 0.5}
initializers = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
ends = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4096])]
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4096]) for name in ("columns", "moved")]
graph = helper.make_graph(nodes, "graph", [], ends, initializers, value_info=values)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
(before,) = ReferenceEvaluator(model).run(None, {})
converted = convert_float_to_float16(model, keep_io_types=True, node_block_list=["range", "add", "sub"])
print(*(node.op_type for node in converted.graph.node))

# In their order of computation, as another tool of the package would put them.
ready, order, left = {i.name for i in converted.graph.initializer}, [], list(converted.graph.node)
while left:
    node = next(node for node in left if ready.issuperset(node.input))
    order.append(node)
    ready.update(node.output)
    left.remove(node)
del converted.graph.node[:]
converted.graph.node.extend(order)
(after,) = ReferenceEvaluator(converted).run(None, {})
narrow = sum(n.op_type == "Cast" and n.attribute[0].i == TensorProto.FLOAT16 for n in order)
off = np.abs(after.astype(np.float64) - before)
print(f"casts to fp16: {narrow}; largest error of a column: {off.max():g}; off: {(off > 0.1).sum()} columns of 4096")
as_found = np.array_equal(before, np.arange(4096)) and narrow >= 2 and off.max() >= 1
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
