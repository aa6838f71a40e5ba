#!/usr/bin/env bash
# OpenCV's imread with IMREAD_UNCHANGED mixes, drops or multiplies the bands of a TIFF, without a word.
#
# One would expect: IMREAD_UNCHANGED gives the samples of the file, at most in another order: (H, W, 4) uint16 for four bands of
#   16 bits, (H, W, 2) uint16 for two, RGBA as BGRA.
# What happens: four grey bands of 16 bits become one, the BT.601 luma of the first three; of 8 bits the first band; two bands
#   of 16 bits the first band in 8 bits. The colours of 8-bit RGBA come multiplied by alpha, those of 16-bit RGBA don't.
# Why it matters: red, green, blue and infrared of a satellite, or any four-band stack, is read as a plausible grey image of
#   the right size, and textures with alpha darken. Loaders that check height and width only don't notice.
# Instead: tifffile.imread, or mark the bands as RGB with an unspecified extra sample, which OpenCV reads as they are.
# Versions: opencv-python-headless 5.0.0.93, tifffile 2026.3.3, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys

import cv2
import numpy as np
import tifffile

print("OpenCV", cv2.__version__, "tifffile", tifffile.__version__)
bands = np.random.default_rng(0).integers(0, 65536, (40, 48, 4)).astype(np.uint16)


def read(image, **tags):
    """What OpenCV reads of a TIFF with interleaved samples, and whether tifffile gives them back."""
    tifffile.imwrite("in.tif", image, planarconfig="contig", **tags)
    assert (tifffile.imread("in.tif") == image).all()
    return cv2.imread("in.tif", cv2.IMREAD_UNCHANGED)


four, two = read(bands, photometric="minisblack"), read(bands[..., :2], photometric="minisblack")
small = read((bands >> 8).astype(np.uint8), photometric="minisblack")
luma = bands[..., :3] @ [0.299, 0.587, 0.114]
named = read(bands, photometric="rgb", extrasamples=["unspecified"])
alpha = {
    kind: read((bands >> shift).astype(kind), photometric="rgb", extrasamples=["unassalpha"])[..., [2, 1, 0, 3]]
    for kind, shift in ((np.uint8, 8), (np.uint16, 0))
}
multiplied = (bands[..., :3] >> 8) * ((bands[..., 3:] >> 8) / 255)
found = {
    "four bands of 16 bits": (four.shape, str(four.dtype), "luma", bool(np.abs(four - luma).max() <= 2)),
    "four bands of 8 bits": (small.shape, str(small.dtype), "first band", bool((small == bands[..., 0] >> 8).all())),
    "two bands of 16 bits": (two.shape, str(two.dtype), "first band", bool((two == bands[..., 0] >> 8).all())),
    "RGB and a further one": (named.shape, str(named.dtype), "equal", bool((named[..., [2, 1, 0, 3]] == bands).all())),
    "RGBA of 8 bits": (alpha[np.uint8].shape, "uint8", "multiplied",
                       bool(np.abs(alpha[np.uint8][..., :3] - multiplied).max() <= 1)),
    "RGBA of 16 bits": (alpha[np.uint16].shape, "uint16", "equal", bool((alpha[np.uint16] == bands).all())),
}
for what, (shape, kind, how, is_so) in found.items():
    print(f"{what:22} {shape!s:12} {kind:7} {how}: {is_so}")
shapes = [entry[0] for entry in found.values()]
kinds = [entry[1] for entry in found.values()]
as_found = (
    all(entry[3] for entry in found.values())
    and shapes == [(40, 48)] * 3 + [(40, 48, 4)] * 3
    and kinds == ["uint16", "uint8", "uint8", "uint16", "uint8", "uint16"]
)
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
