#!/usr/bin/env bash
# pnnx drops a network's crop when it is told that sizes vary, and keeps it when it isn't told.
#
# One would expect: `inputshape2=` is how pnnx is told that height and width vary; with it the network for ncnn is right
#   at more sizes than without. One that ncnn can't run exactly is refused or at least warned about.
# What happens: x[..., 2:-2, 2:-2] is right at every size if only one shape is given. With a second one the crop is gone:
#   the output has the input's size, pixels that should have been cut off are there, and pnnx ends with 0 and says nothing.
#   The same crop as F.pad(x, (-2, -2, -2, -2)) stays. And mode="nearest-exact" becomes "nearest", another pixel
#   wherever a picture is made smaller, with one shape or two.
# Why it matters: super-resolution networks pad, then crop the border (waifu2x, Real-CUGAN, windows of attention). Without
#   it the picture is shifted by the padding, which looks right until it is laid over the original.
# Instead: give one shape, write crops as negative F.pad, and compare ncnn's output with torch's at sizes that are not
#   the traced one.
# Versions: pnnx 20261020, ncnn 1.0.20261020, torch 2.15.0, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 pnnx==20261020 ncnn==1.0.20261020 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import importlib.metadata
import subprocess
import sys
import warnings
from pathlib import Path

import ncnn
import numpy as np
import pnnx
import torch
from torch.nn import functional as F

warnings.simplefilter("ignore")  # that torch.jit.trace is old
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "pnnx", "ncnn")))
torch.manual_seed(0)
LAYERS = {
    "x[..., 2:-2, 2:-2]": lambda x: x[..., 2:-2, 2:-2],
    "F.pad(x, (-2, -2, -2, -2))": lambda x: F.pad(x, (-2, -2, -2, -2)),
    "nearest-exact to a half": lambda x: F.interpolate(x, scale_factor=0.5, mode="nearest-exact"),
    "nearest to a half": lambda x: F.interpolate(x, scale_factor=0.5, mode="nearest"),
}
SIZES = ((24, 32), (40, 22), (36, 48))  # the traced one, the second one, a third
SHAPES = {"one shape": ["inputshape=[1,3,24,32]f32"]}
SHAPES["two shapes"] = [*SHAPES["one shape"], "inputshape2=[1,3,40,22]f32"]


def in_ncnn(folder, picture):
    network = ncnn.Net()
    network.opt.num_threads = 1
    assert network.load_param(f"{folder}/n.ncnn.param") == 0 and network.load_model(f"{folder}/n.ncnn.bin") == 0
    with network.create_extractor() as extractor:
        extractor.input("in0", ncnn.Mat(np.ascontiguousarray(picture.numpy())).clone())
        return torch.from_numpy(np.array(extractor.extract("out0")[1]))


print("largest difference of ncnn to torch; pictures in [0, 1]")
print(f"{'':42}", *(f"{h}x{w}".rjust(10) for h, w in SIZES), " pnnx")
found = {}
for layer, function in LAYERS.items():
    # The convolution gives each pixel as it is: a network with nothing but a crop is none.
    same = torch.eye(3).view(3, 3, 1, 1)
    network = type("Network", (torch.nn.Module,), {"forward": lambda self, x: function(F.conv2d(x, same))})()
    for shapes, arguments in SHAPES.items():
        folder = Path(f"{len(found)}")
        folder.mkdir()
        torch.jit.trace(network, torch.rand(1, 3, *SIZES[0])).save(str(folder / "n.pt"))
        done = subprocess.run([pnnx.EXEC_PATH, "n.pt", "fp16=0", *arguments], cwd=folder, capture_output=True, text=True)
        warned = [line for line in (done.stdout + done.stderr).splitlines() if "ignore" in line or "not supported" in line]
        results = []
        for size in SIZES:
            x = torch.rand(1, 3, *size)
            got, expected = in_ncnn(folder, x[0]), network(x)[0]
            results.append((got - expected).abs().max().item() if got.shape == expected.shape else None)
        found[layer, shapes] = results
        shown = (("size" if r is None else f"{r:.1e}").rjust(10) for r in results)
        print(f"{layer:30}{shapes:12}", *shown, f" {done.returncode}", *warned)
(crop, pad, exact, nearest), (one, two) = LAYERS, SHAPES
right = [found[key] for key in ((crop, one), (pad, one), (pad, two), (nearest, one), (nearest, two))]
as_found = all(r is not None and r < 1e-4 for results in right for r in results)
as_found &= found[crop, two] == [None, None, None]
as_found &= all(r is not None and r > 0.2 for shapes in SHAPES for r in found[exact, shapes])
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
