#!/usr/bin/env bash
# tifffile writes an image of five or more bands, (H, W, C), as H pages of W x C pixels, and reads it back as it was.
#
# One would expect: imwrite of (H, W, 5) with photometric="minisblack" writes one picture of five samples per pixel.
# What happens: it writes H grey pages, each C pixels wide and W high. imread puts the pages together again, so a round trip
#   shows nothing; every other program sees a stack of narrow pictures. Without photometric the same.
# Why it matters: hyperspectral data sets saved this way load in NumPy and are H pictures of 5 x W elsewhere (Pillow, OpenCV,
#   GDAL); a program that takes the first page trains on a strip of the first row.
# Instead: planarconfig="contig", which makes the last axis the samples (or "separate", with the bands first).
# Versions: tifffile 2026.3.3, pillow 13.0.0, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" tifffile==2026.3.3 pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys

import numpy as np
import tifffile
from PIL import Image

print("tifffile", tifffile.__version__)
bands = np.random.default_rng(0).integers(0, 65536, (40, 48, 5)).astype(np.uint16)
found = []
for options in ({}, {"photometric": "minisblack"}, {"photometric": "minisblack", "planarconfig": "contig"}):
    tifffile.imwrite("in.tif", bands, **options)
    with tifffile.TiffFile("in.tif") as file:
        found.append((len(file.pages), file.pages[0].shape))
    same = bool((tifffile.imread("in.tif") == bands).all())
    print(f"{options}: {found[-1][0]} pages of {found[-1][1]}; imread equal: {same}")
    if "planarconfig" not in options:
        with Image.open("in.tif") as image:
            print(f"  Pillow: {image.n_frames} frames of {image.size}")
as_found = found == [(40, (48, 5)), (40, (48, 5)), (1, (40, 48, 5))]
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
