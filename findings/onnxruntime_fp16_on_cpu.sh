#!/usr/bin/env bash
# ONNX Runtime runs a model in fp16 on a CPU without fp16: no overflow, no rounding between nodes.
#
# One would expect: a model whose values are float16 gives float16's results: 90000 is infinite, and a chain of nodes
#   rounds after each. If not with optimisations, then with ORT_DISABLE_ALL; and a Cast to float and back to float16,
#   written into the model, rounds for sure.
# What happens: on an x86-64 CPU each node runs in fp32, and the casts between nodes are removed, with ORT_DISABLE_ALL too,
#   and so are the model's own pairs of casts. 1 * 300 * 300 / 300 / 300 is 1, where the standard (onnx.reference) and a
#   GPU give infinity.
# Why it matters: an exported network in fp16 is usually compared with the original on a CPU, and passes; on a GPU its
#   pictures are black or white where values above 65504 occur, and off by more than was measured.
# Instead: compare a copy of the model in fp32 (weights, types) with a pair of casts behind each node: there ONNX Runtime
#   keeps them. Or onnx.reference, for tiny inputs.
# Versions: onnxruntime 1.32.0, onnx 1.23.2, Python 3.11, x86-64 CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import importlib.metadata
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("onnxruntime", "onnx")))
warnings.simplefilter("ignore")
CHAIN = [("x", "w", "a"), ("a", "w", "b"), ("b", "v", "c"), ("c", "v", "y")]  # times 300, 300, 1/300, 1/300


def model(kind, casts):
    """Four convolutions of one pixel; with casts, each result is cast to the other type and back."""
    half = kind == TensorProto.FLOAT16
    numpy_kind, other = (np.float16, TensorProto.FLOAT) if half else (np.float32, TensorProto.FLOAT16)
    nodes = []
    for source, weight, result in CHAIN:
        exact = f"{result}_exact" if casts else result
        nodes.append(helper.make_node("Conv", [source, weight], [exact]))
        if casts:
            nodes.append(helper.make_node("Cast", [exact], [f"{result}_other"], to=other))
            nodes.append(helper.make_node("Cast", [f"{result}_other"], [result], to=kind))
    weights = {"w": 300, "v": 1 / 300}
    initializers = [numpy_helper.from_array(np.full((1, 1, 1, 1), n, numpy_kind), name) for name, n in weights.items()]
    ends = [helper.make_tensor_value_info(name, kind, [1, 1, 2, 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made, {"x": np.ones((1, 1, 2, 2), numpy_kind)}


def run(made, x, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return float(session.run(None, x)[0].flat[0])


levels = onnxruntime.GraphOptimizationLevel
found = {}
for name, kind, casts in (
    ("fp16", TensorProto.FLOAT16, False),
    ("fp16, with casts to fp32 and back", TensorProto.FLOAT16, True),
    ("fp32, with casts to fp16 and back", TensorProto.FLOAT, True),
):
    made, x = model(kind, casts)
    found[name] = [run(made, x, level) for level in (levels.ORT_ENABLE_ALL, levels.ORT_DISABLE_ALL)]
    found[name].append(float(ReferenceEvaluator(made).run(None, x)[0].flat[0]))
    fast, plain, reference = found[name]
    print(f"{name:36} optimised {fast:5.2f}  not optimised {plain:5.2f}  onnx.reference {reference}")
*in_fp16, in_fp32 = found.values()
as_found = all(abs(optimised - 1) < 0.02 and abs(not_optimised - 1) < 0.02 for optimised, not_optimised, _ in in_fp16)
as_found &= all(np.isinf(reference) for *_, reference in in_fp16) and all(map(np.isinf, in_fp32))
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
