#!/usr/bin/env bash
# safetensors.numpy and ncnn.Mat take a transposed or cut array's memory as it lies: other weights, another picture.
#
# One would expect: a NumPy array is its values whatever its strides, as for numpy.save, torch.from_numpy and
#   onnxruntime; or an error, as safetensors.torch gives for tensors that aren't contiguous.
# What happens: safetensors.numpy.save writes an array's shape beside bytes in the order of the memory they lie in, and
#   ncnn.Mat(array) reads them so. The shape is right, the values are in other places, nothing is said. Crops get
#   values from outside of them. (safetensors' docstring asks for contiguous tensors; safetensors.torch checks it.)
# Why it matters: weights of Keras or JAX are turned into PyTorch's order by .transpose(3, 2, 0, 1), pictures into ncnn's
#   by .transpose(2, 0, 1), tiles are crops: all of them views with strides. The result is a network of noise or a
#   scrambled picture.
# Instead: np.ascontiguousarray(array) first; for ncnn.Mat also .clone(), which holds its own memory.
# Versions: safetensors 0.8.0, ncnn 1.0.20261020, numpy 2.4.6, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" safetensors==0.8.0 ncnn==1.0.20261020 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import importlib.metadata
import io
import sys

import ncnn
import numpy as np
import safetensors.numpy

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("safetensors", "ncnn", "numpy")))


def by_numpy(array):
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    return np.load(file)


ROUTES = {
    "numpy.save": by_numpy,
    "safetensors.numpy.save": lambda array: safetensors.numpy.load(safetensors.numpy.save({"x": array}))["x"],
    "ncnn.Mat": lambda array: np.array(ncnn.Mat(array).clone()),
}
picture = np.random.default_rng(0).random((6, 8, 3), np.float32)  # (H, W, C), as a file is read
planes = np.ascontiguousarray(picture.transpose(2, 0, 1))  # (C, H, W)
ARRAYS = {
    "(H, W, C).transpose(2, 0, 1)": picture.transpose(2, 0, 1),
    "upper left crop": planes[:, :4, :5],
    "every second column": planes[:, :, ::2],
    "the first, ascontiguousarray": np.ascontiguousarray(picture.transpose(2, 0, 1)),
}
print("share of the values that come back at their places")
print(f"{'':30}", *(name.rjust(24) for name in ROUTES))
kept = {}
for what, array in ARRAYS.items():
    for route, through in ROUTES.items():
        back = through(array)
        assert back.shape == array.shape
        kept[what, route] = float((back == array).mean())
    print(f"{what:30}", *(f"{kept[what, route]:.2f}".rjust(24) for route in ROUTES))
views, (plain, *others) = list(ARRAYS)[:3], ROUTES
as_found = all(kept[what, plain] == 1 for what in ARRAYS) and all(kept[list(ARRAYS)[3], route] == 1 for route in others)
as_found &= all(kept[what, route] < 0.5 for what in views for route in others)
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
