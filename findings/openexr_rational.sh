#!/usr/bin/env bash
# OpenEXR's Python package can't write its own class Rational, only Python's Fraction.
#
# One would expect: OpenEXR.Rational(24, 1) is the value of a rational attribute, such as the standard framesPerSecond, as
#   OpenEXR.TimeCode and OpenEXR.KeyCode are values of theirs.
# What happens: writing raises "unrecognized type of attribute 'framesPerSecond': type=Rational value=24/1". A Fraction
#   is written as a rational number, and that is also what reading returns.
# Why it matters: a header that was read can be written again as it is; one that is made from the package's classes can't.
# Instead: fractions.Fraction(24, 1).
# Versions: OpenEXR 3.5.3, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" OpenEXR==3.5.3 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys
from fractions import Fraction

import numpy as np
import OpenEXR

print("OpenEXR", OpenEXR.__version__)
pixels = {"Y": np.zeros((4, 5), np.float32)}
kinds = {"OpenEXR.Rational": OpenEXR.Rational(24, 1), "fractions.Fraction": Fraction(24, 1)}
written = {}
for name, rate in kinds.items():
    try:
        OpenEXR.File({"framesPerSecond": rate}, pixels).write("picture.exr")
        written[name] = OpenEXR.File("picture.exr").header()["framesPerSecond"]
        print(f"{name}: written, and read as {written[name]!r}")
    except RuntimeError as error:
        print(f"{name}: {error}")
as_described = list(written) == ["fractions.Fraction"] and written["fractions.Fraction"] == Fraction(24)
sys.exit(0 if as_described else "it behaves otherwise now")
PY
