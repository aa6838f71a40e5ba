#!/usr/bin/env bash
# int8 convolutions give wrong numbers on CPUs without VNNI: a mean over white is .51, not .95.
#
# One would expect: without instructions for int8 (VNNI), a network in int8 is slower, and gives the same numbers.
# What happens: OpenVINO multiplies and adds pairs of products with vpmaddubsw, whose sums saturate at 16 bits: inputs near the
#   top of their range times weights near theirs are too large. Nothing is said. ONNX Runtime does the same with weights of
#   signed integers, unless the entry session.x64quantprecision of its session options is 1, or it doesn't optimise the graph.
#   NNCF's default, OverflowFix.FIRST_LAYER, uses half the range of the weights in the first layer, and in no other.
# Why it matters: a network that was quantised and measured on a server gives other pictures on a desktop with AVX2 (AMD before
#   Zen 4, Intel before Ice Lake): bright and smooth places are the worst.
# Instead: quantise the weights to 7 bits (OverflowFix.ENABLE), or compute such convolutions in fp32 where the CPU lacks VNNI.
# Versions: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11, x86-64. OpenVINO is told to use AVX2
#   at most, so that newer CPUs show it too; ONNX Runtime can't be told, and is only checked on CPUs without VNNI.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
ONEDNN_MAX_CPU_ISA=AVX2 venv/bin/python - <<'PY'
import re
import sys
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from openvino import opset13

C = 32
WHITE = np.full((1, C, 32, 32), 0.95, np.float32)
WEIGHT = 1 / (9 * C)  # a mean of 3x3 pixels of all channels
print("openvino", version("openvino"), "onnxruntime", version("onnxruntime"))


def in_openvino(quantised):
    x = opset13.parameter([1, C, 32, 32], np.float32)
    source, weights = x, opset13.constant(np.full((C, C, 3, 3), WEIGHT, np.float32))
    if quantised:
        source = opset13.fake_quantize(x, *map(constant, (0, 1, 0, 1)), 256)
        weights = opset13.fake_quantize(weights, *map(constant, (-WEIGHT, WEIGHT) * 2), 255)
    mean = opset13.convolution(source, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    return openvino.compile_model(openvino.Model([mean], [x]), "CPU")(WHITE)[0][0, 0, 16, 16]


def constant(value):
    return opset13.constant(np.float32(value))


def in_onnxruntime(entry, optimise):
    names = {"xs": np.float32(1 / 255), "xz": np.uint8(0), "w": np.full((C, C, 3, 3), 127, np.int8),
             "ws": np.full(C, WEIGHT / 127, np.float32), "wz": np.zeros(C, np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"], axis=0),
        helper.make_node("Conv", ["xr", "wr"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "xs", "xz"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "xs", "xz"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, C, 32, 32]) for name in "xy"]
    graph = helper.make_graph(nodes, "mean", ends[:1], ends[1:],
                              [numpy_helper.from_array(np.asarray(value), name) for name, value in names.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    if entry:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": WHITE})[0][0, 0, 16, 16]


fp32, int8 = in_openvino(False), in_openvino(True)
print(f"OpenVINO, at most AVX2: fp32 {fp32:.3f}, int8 {int8:.3f}")
as_found = abs(fp32 - 0.95) < 0.01 and int8 < 0.6
if re.search(r"avx512_vnni|avx_vnni|amx_int8", open("/proc/cpuinfo").read()):
    print("ONNX Runtime: this CPU has VNNI, not checked")
else:
    plain, wide, unoptimised = in_onnxruntime(False, True), in_onnxruntime(True, True), in_onnxruntime(False, False)
    print(f"ONNX Runtime, int8: {plain:.3f}, with x64quantprecision=1 {wide:.3f}, not optimised {unoptimised:.3f}")
    as_found = as_found and plain < 0.6 and abs(wide - 0.95) < 0.01 and abs(unoptimised - 0.95) < 0.01
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
