#!/usr/bin/env bash
# The same HD video has other colours in OpenCV 4.12 and in 4.13: up to 27 levels apart.
#
# One would expect: VideoCapture either heeds the matrix that a video states (BT.709 in nearly all of HD) or, as is often
#   written, always converts with BT.601's; in every version of this year the same.
# What happens: until 4.12 it always takes BT.601's matrix, from 4.13 on the stated one. The range is heeded in all of them. A
#   video that states nothing is still read as BT.601, whatever its size, which is what VideoWriter writes, without saying so.
# Why it matters: frames that were extracted with one version and networks that are run or measured with another differ in
#   colour; a pair of LR and HR from two machines differs by more than a network ever does. Frames of PNG datasets made with
#   OpenCV from BT.709 videos are tinted.
# Instead: state the version beside extracted frames, or decode with FFmpeg itself and name the matrix.
# Versions: opencv-python-headless 4.12.0.88, 4.13.0.92, 4.14.0.94 and 5.0.0.93, av 18.1.0, numpy 2.2.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
uv venv -q --python 3.11 venv
uv pip install -q --python venv/bin/python av==18.1.0 numpy==2.2.6
venv/bin/python - <<'PY'
import av
import numpy as np

COLOUR = 30, 200, 60
MATRICES = {"bt709": (1, "ITU709"), "bt601": (6, "ITU601"), "nothing": (2, "ITU601")}
for name, (code, matrix) in MATRICES.items():
    with av.open(f"{name}.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0", "x264-params": "log-level=error"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv444p"
        if code != 2:
            stream.codec_context.colorspace, stream.codec_context.color_range = code, 1
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((720, 1280, 3), COLOUR, np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=matrix, src_color_range="JPEG", dst_color_range="MPEG")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
PY
for version in 4.12.0.88 4.13.0.92 4.14.0.94 5.0.0.93; do
  uv pip install -q --python venv/bin/python opencv-python-headless==$version numpy==2.2.6
  venv/bin/python - >> found <<'PY'
import cv2

colours = [cv2.VideoCapture(f"{name}.mp4").read()[1][300, 600, ::-1].tolist() for name in ("bt709", "bt601", "nothing")]
print(cv2.__version__, *colours, sep=";")
PY
done
venv/bin/python - <<'PY'
import ast
import sys

import numpy as np

print("the colour is [30, 200, 60]; a video of it that states ...")
as_found = True
for line in open("found"):
    version, *colours = line.strip().split(";")
    print(f"OpenCV {version:7}: BT.709 {colours[0]}, BT.601 {colours[1]}, nothing (BT.601 is in it) {colours[2]}")
    off = [int(np.abs(np.subtract(ast.literal_eval(colour), (30, 200, 60))).max()) for colour in colours]
    wanted = off[0] > 20 if version.startswith("4.12") else off[0] <= 2
    as_found = as_found and wanted and max(off[1:]) <= 2
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
