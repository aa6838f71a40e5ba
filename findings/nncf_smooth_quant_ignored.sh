#!/usr/bin/env bash
# NNCF ignores AdvancedSmoothQuantParameters(convolution=alpha) in a convolutional network, and says nothing.
#
# One would expect: nncf.quantize with smooth_quant_alphas=AdvancedSmoothQuantParameters(convolution=0.5) equalises the
#   channels in front of each convolution. The docstring: "Whether to apply smoothing for Convolution layers", a
#   negative value (the default) switches it off, "this parameter may be adjusted in the range from 0 to 1".
# What happens: unless model_type=ModelType.TRANSFORMER, SmoothQuant isn't run at all. Every alpha gives the result of
#   -1 to the bit. A comment in the code says so; the docstrings of quantize ("Model type is needed to specify
#   additional patterns in the model") and of the parameters don't, and nothing warns.
#   With model_type=ModelType.TRANSFORMER it works in the same network without any attention.
# Why it matters: one tries it where it would help (channels of very different size behind a PReLU, usual in networks
#   without normalisation), sees no change and concludes that equalisation doesn't help. Here it cuts the error of
#   int8 from 29 to 1 percent.
# Instead: pass model_type=ModelType.TRANSFORMER too. Other defaults change with it: the preset becomes MIXED.
# Versions: nncf 3.4.0, openvino 2026.4.1, Python 3.11, x86-64 CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" nncf==3.4.0 openvino==2026.4.1 numpy==2.4.6
cd "$work"
venv/bin/python - 2>stderr <<'PY' || { cat stderr >&2; exit 1; }
import contextlib
import importlib.metadata
import io
import logging
import sys
import warnings

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters
from openvino import opset15 as ops

warnings_of_nncf = []
handler = logging.Handler(logging.WARNING)
handler.emit = warnings_of_nncf.append
logging.getLogger("nncf").addHandler(handler)
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("nncf", "openvino")))
rng = np.random.default_rng(0)
size = np.logspace(-1, 1, 16).astype(np.float32)  # of the 16 channels between the convolutions
FIRST = rng.uniform(-0.2, 0.2, (16, 3, 3, 3)).astype(np.float32) * size[:, None, None, None]
SECOND = rng.uniform(-0.1, 0.1, (3, 16, 3, 3)).astype(np.float32) / size[:, None, None]
SLOPE = np.full(16, 0.25, np.float32)


def network():
    """Convolution, PReLU, convolution."""
    x = picture = ops.parameter([1, 3, 32, 32], np.float32, name="picture")
    x = ops.convolution(x, ops.constant(FIRST), [1, 1], [1, 1], [1, 1], [1, 1])
    x = ops.add(x, ops.constant(np.zeros((1, 16, 1, 1), np.float32)))
    x = ops.prelu(x, ops.constant(SLOPE))
    x = ops.convolution(x, ops.constant(SECOND), [1, 1], [1, 1], [1, 1], [1, 1])
    x = ops.add(x, ops.constant(np.zeros((1, 3, 1, 1), np.float32)))
    return ov.Model([x], [picture])


pictures = [rng.random((1, 3, 32, 32), np.float32) for _ in range(8)]
x = rng.random((1, 3, 32, 32), np.float32)
right = ov.Core().compile_model(network(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
ALPHAS = (-1, 0.3, 0.5, 0.7)
outputs, errors, said = {}, {}, 0
for model_type in (None, nncf.ModelType.TRANSFORMER):
    for alpha in ALPHAS:
        parameters = nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=AdvancedSmoothQuantParameters(convolution=alpha)
        )
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("always")
            model = nncf.quantize(
                network(),
                nncf.Dataset(pictures),
                subset_size=len(pictures),
                model_type=model_type,
                preset=nncf.QuantizationPreset.PERFORMANCE,  # the same for both
                advanced_parameters=parameters,
            )
        about = [str(w.message) for w in caught] + [record.getMessage() for record in warnings_of_nncf]
        said += sum("smooth" in line.lower() for line in about)
        got = outputs[model_type, alpha] = ov.Core().compile_model(model, "CPU")(x)[0]
        errors[model_type, alpha] = float(np.abs(got - right).mean() / np.abs(right).mean())
        print(
            f"model_type {str(model_type):22} convolution={alpha:<4}  error of int8 {errors[model_type, alpha]:6.1%}"
            f"  the same as -1 to the bit: {np.array_equal(got, outputs[model_type, -1])}"
        )
print("warnings that name SmoothQuant:", said)
off, on = errors[None, -1], [errors[nncf.ModelType.TRANSFORMER, alpha] for alpha in ALPHAS[1:]]
as_found = said == 0 and all(np.array_equal(outputs[None, alpha], outputs[None, -1]) for alpha in ALPHAS)
as_found &= max(on) < off / 5
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
