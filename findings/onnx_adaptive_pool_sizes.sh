#!/usr/bin/env bash
# A network with adaptive pooling, exported to ONNX with dynamic sizes, is wrong at other sizes and says nothing.
#
# One would expect: torch.onnx.export(dynamo=True) with dynamic height and width either makes a graph that is right at
#   any size, or refuses, as the older exporter did where the output's size is no factor of the input's.
# What happens: the exported file is right at the example's size, which is all that verify=True compares. At others:
#   adaptive_avg_pool2d(x, 7) (F.interpolate(size=..., mode="area") is the same): each window keeps the example's
#   length, so a larger picture gives wrong numbers and a smaller one an index error;
#   F.interpolate(scale_factor=0.5, mode="area") and adaptive_max_pool2d(x, (h // 8, w // 8)): one plain pooling with
#   fixed windows, wrong wherever h or w isn't a multiple of 2 or 8.
#   The shapes are right, nothing warns. torch.export's own program of the average pools is right.
# Why it matters: attention over regions, multi-scale branches (SAFMN's pooling) and "area" downscaling are common in
#   super-resolution networks, and these are exported for frames of any size. The picture only looks a little off.
# Instead: compare with torch at a size that is larger than the example and odd. Export at a fixed size, pad the input
#   to a multiple first, or write the pooling as avg_pool2d / a mean over an axis. adaptive_avg_pool2d(x, 1) is right.
# Versions: torch 2.15.0, torchvision 0.29.2 (the exporter asks for it), onnx 1.23.2, onnxscript 0.7.2,
#   onnxruntime 1.32.0, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 onnx==1.23.2 \
    onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import contextlib
import importlib.metadata
import io
import sys
import warnings

import numpy as np
import onnxruntime
import torch
from torch.nn import functional as F

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "onnx", "onnxscript", "onnxruntime")))
onnxruntime.set_default_logger_severity(4)
torch.manual_seed(0)
POOLS = {
    "adaptive_avg_pool2d(x, 7)": lambda x: F.adaptive_avg_pool2d(x, 7),
    "area, size (13, 17)": lambda x: F.interpolate(x, size=(13, 17), mode="area"),
    "area, scale_factor .5": lambda x: F.interpolate(x, scale_factor=0.5, mode="area"),
    "adaptive_max_pool2d(x, /8)": lambda x: F.adaptive_max_pool2d(x, (x.shape[2] // 8, x.shape[3] // 8)),
    "adaptive_avg_pool2d(x, 1)": lambda x: F.adaptive_avg_pool2d(x, 1),
}
SIZES = ((32, 48), (64, 96), (67, 101), (24, 40))

print("largest difference to torch; pictures in [0, 1]")
print(f"{'exported at 32x48':28}", *(f"{h}x{w}".rjust(9) for h, w in SIZES))
dynamic, off = {"x": {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}}, {}
for name, pool in POOLS.items():
    network = type("Network", (torch.nn.Module,), {"forward": lambda self, x: pool(x)})()
    with warnings.catch_warnings(record=True) as said, contextlib.redirect_stdout(out := io.StringIO()):
        warnings.simplefilter("always")
        example = (torch.rand(1, 3, *SIZES[0]),)
        torch.onnx.export(network, example, "n.onnx", dynamo=True, dynamic_shapes=dynamic, verify=True)
    session = onnxruntime.InferenceSession("n.onnx", providers=["CPUExecutionProvider"])
    said = [str(warning.message) for warning in said] + out.getvalue().splitlines()
    about = [line for line in said if "pool" in line.lower() or "size" in line.lower()]
    for size in SIZES:
        x = torch.rand(1, 3, *size)
        try:
            (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
            assert got.shape == tuple(pool(x).shape)
            off[name, size] = float(np.abs(got - pool(x).numpy()).max())
        except Exception:  # ONNX Runtime has its own kinds of errors
            off[name, size] = float("nan")
    print(f"{name:28}", *(("error" if np.isnan(v := off[name, s]) else f"{v:.1e}").rjust(9) for s in SIZES), *about)
names = list(POOLS)
as_found = all(off[name, SIZES[0]] < 1e-5 for name in names) and off[names[4], (67, 101)] < 1e-5
as_found &= all(off[name, (64, 96)] > 0.05 for name in names[:2])
as_found &= all(off[name, (67, 101)] > 0.02 for name in names[:4])
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
