#!/usr/bin/env bash
# NNCF's int8 networks clip white to grey: an activation's range is the mean of the samples' maxima, not their maximum.
#
# One would expect: nncf.quantize takes the range of every activation, and of the network's input first of all, from
#   the least and the greatest value in the calibration data, so whatever was in the data can pass.
# What happens: by default the range ends at the mean over the samples of each one's maximum. Calibrated with as many
#   black pictures as white ones, the input is clamped at 0.5 and white leaves the network as mid-grey. With eight
#   night pictures (maximum 0.3) and two with white in them, it is clamped at 0.44. Bias correction and the presets
#   don't help; nothing warns. The docstrings describe this estimator (RangeEstimatorParametersSet.MEAN_MINMAX), but
#   not that quantize uses it.
# Why it matters: a network that classifies survives this; one whose output is a picture (super-resolution, denoising)
#   loses its highlights. Crops are worse than whole pictures, for few crops contain white.
# Instead: AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX).
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
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from openvino import opset15 as ops

said = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("nncf").addHandler(handler)
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("nncf", "openvino")))


def network():
    """Convolution, ReLU, convolution: the output is the input (the kernels are identities)."""
    x = picture = ops.parameter([1, 3, 16, 16], np.float32, name="picture")
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3), 1, 1] = 1
    for index in range(2):
        x = ops.convolution(x, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
        x = ops.add(x, ops.constant(np.zeros((1, 3, 1, 1), np.float32)))
        x = ops.relu(x) if index == 0 else x
    return ov.Model([x], [picture])


def grey(level):
    return np.full((1, 3, 16, 16), level, np.float32)


def output(model, level):
    return float(ov.Core().compile_model(model, "CPU")(grey(level))[0].mean())


def clamped_at(model):
    """The end of the range of the input's FakeQuantize."""
    (input_range,) = (
        node
        for node in model.get_ops()
        if node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() == "Parameter"
    )
    return float(input_range.input_value(2).get_node().data.max())


rng = np.random.default_rng(0)
night = [0.3 * rng.random((1, 3, 16, 16), np.float32) for _ in range(8)]
for picture in night:
    picture[0, 0, 0, 0] = 0.3
half = [grey(0), grey(1)] * 5
minmax = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX)
CASES = {
    "half black, half white": (half, {}),
    "the same, preset MIXED": (half, {"preset": nncf.QuantizationPreset.MIXED}),
    "the same, fast_bias_correction=False": (half, {"fast_bias_correction": False}),
    "8 pictures up to 0.3, 2 white": (night + [grey(1)] * 2, {}),
    "half black, half white, MINMAX": (half, {"advanced_parameters": minmax}),
    "8 up to 0.3, 2 white, MINMAX": (night + [grey(1)] * 2, {"advanced_parameters": minmax}),
}
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
print("float32 network: white gives", round(output(network(), 1), 3))
print(f"\n{'calibrated with':38}{'input ends at':>14}   output for grey", *(f"{level:6.2f}" for level in LEVELS))
ends, whites = [], []
for name, (pictures, settings) in CASES.items():
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        model = nncf.quantize(network(), nncf.Dataset(pictures), subset_size=len(pictures), **settings)
    said += [str(warning.message) for warning in caught if "nncf" in warning.filename]
    ends.append(clamped_at(model))
    whites.append(output(model, 1))
    print(f"{name:38}{ends[-1]:14.3f}   {'':15}", *(f"{output(model, level):6.3f}" for level in LEVELS))
print("warnings of NNCF:", said or "none")
as_found = not said and np.allclose(ends, [0.5, 0.5, 0.5, 0.44, 1, 1], atol=0.01)
as_found &= max(whites[:4]) < 0.55 and min(whites[4:]) > 0.97 and output(network(), 1) > 0.97
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
