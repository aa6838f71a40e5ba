#!/usr/bin/env bash
# nncf.quantize drops the names of the weights of an OpenVINO model, and makes up others that change with every call.
#
# One would expect: a quantized weight keeps its friendly name ("self.body.0.weight" in a model converted from
#   PyTorch), as it does in nncf.compress_weights and as the weights that stay in float32 do.
# What happens: every weight that becomes int8 is called Constant_<number>, a counter of the process. Quantizing the
#   same model twice in one process gives two sets of names. The names of the convolutions are kept.
# Why it matters: looking weights up by name (to compare float32 with int8 layer by layer, or to count what was
#   quantized) finds only the weights that were NOT quantized.
# Instead: find the Convolution or MatMul by its name and walk up from its input 1 to the Constant.
# Versions: nncf 3.4.0, openvino 2026.4.1, torch 2.15.0, Python 3.11, x86-64 CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" nncf==3.4.0 openvino==2026.4.1 torch==2.15.0 numpy==2.4.6
cd "$work"
venv/bin/python - 2>stderr <<'PY' || { cat stderr >&2; exit 1; }
import contextlib
import importlib.metadata
import io
import logging
import sys

import nncf
import openvino as ov
import torch

nncf.set_log_level(logging.ERROR)
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("nncf", "openvino", "torch")))


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.PReLU(8), torch.nn.Conv2d(8, 3, 3, padding=1)
        )

    def forward(self, x):
        return self.body(x)


torch.manual_seed(0)
network = Network().eval()
pictures = [torch.rand(1, 3, 16, 16).numpy() for _ in range(4)]


def converted():
    model = ov.convert_model(network, example_input=torch.rand(1, 3, 16, 16))
    model.reshape([1, 3, 16, 16])
    return model


def quiet(function, *arguments, **settings):
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars
        return function(*arguments, **settings)


def weights(model):
    """Friendly name and type of each parameter that isn't a bias, by the name of the operation that uses it."""
    found = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("Convolution", "PRelu"):
            source = node.input_value(1).get_node()
            while source.get_type_name() != "Constant":
                source = source.input_value(0).get_node()
            operation = node.get_friendly_name().split("/")[0].removeprefix("__module.")
            found[operation] = source.get_friendly_name(), source.get_element_type().get_type_name()
    return found


original = converted()
models = {
    "converted": original,
    "compress_weights": quiet(nncf.compress_weights, converted()),
    "quantize": quiet(nncf.quantize, original, nncf.Dataset(pictures), subset_size=4),
    "quantize, again": quiet(nncf.quantize, original, nncf.Dataset(pictures), subset_size=4),
}
seen = {}
for title, model in models.items():
    seen[title] = weights(model)
    print(f"{title:18}", *(f"{user}: {name} ({kind})".ljust(35) for user, (name, kind) in seen[title].items()))
first, again = models["quantize"], models["quantize, again"]
same_answer = all(
    (ov.Core().compile_model(first, "CPU")(x)[0] == ov.Core().compile_model(again, "CPU")(x)[0]).all() for x in pictures
)
print("the two quantized models give the same pictures:", same_answer)
expected = {f"body.{index}": f"self.body.{index}.weight" for index in range(3)}
names = {title: {operation: name for operation, (name, _) in found.items()} for title, found in seen.items()}
as_found = names["converted"] == names["compress_weights"] == expected
as_found &= all(names["quantize"][o].startswith("Constant_") for o in ("body.0", "body.2"))
as_found &= names["quantize"]["body.1"] == expected["body.1"]
as_found &= names["quantize"] != names["quantize, again"] and same_answer
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
