#!/usr/bin/env bash
# OpenCV moves pictures in steps of 1/32 pixel; since 5.0 no longer in bilinear and bicubic, but still in Lanczos.
#
# One would expect: remap, warpAffine and warpPerspective take float32 maps and matrices, so a float32 picture is moved
#   by the shift asked for, to the accuracy of float, and two releases give the same numbers but for rounding.
# What happens: up to 4.14 every place is rounded to 1/32 pixel, also for float32 pictures, in all three functions and
#   all modes. A shift below 1/64 is no shift at all; a photograph (0 to 255) is off by up to 3 levels beside edges.
#   OpenCV 5.0 computes bilinear and bicubic in float, so its numbers are others than those of 4.x. Its Lanczos still
#   goes in steps, remap's hint=ALGO_HINT_ACCURATE or not. (The steps of 4.x are known to those who looked for them; the
#   docstrings of either release name fixed point only as a format of maps that one may choose for speed.)
# Why it matters: bursts for multi-frame super-resolution are made by shifting with these functions: the shift kept as
#   ground truth isn't the one in the frames. Temporal metrics that warp by a flow (warping error) have a floor of about
#   64 dB under 4.x, so figures from 4.x and 5.0 can't be compared beyond that, nor with a network's grid_sample.
# Instead: torch.nn.functional.grid_sample (align_corners=True for pixel places) or scipy.ndimage.map_coordinates; or
#   pin OpenCV 5 and use bilinear or bicubic; or draw shifts as multiples of 1/32.
# Versions: opencv-python-headless 4.14.0.94 and 5.0.0.93, numpy 2.4.6, scikit-image 0.26.0 (a photograph), scipy
#   1.17.1, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > warp.py <<'PY'
import sys

import cv2
import numpy as np
import skimage.data
from scipy.ndimage import map_coordinates

print("opencv", cv2.__version__)
photo = skimage.data.camera().astype(np.float32)
size = photo.shape[::-1]
y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
BORDER = {"borderMode": cv2.BORDER_REPLICATE}
ACCURATE = {} if cv2.__version__.startswith("4.") else {"hint": cv2.ALGO_HINT_ACCURATE}
MODES = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "Lanczos": cv2.INTER_LANCZOS4}


def matrix(shift, rows):
    return np.float32([[1, 0, shift], [0, 1, 0], [0, 0, 1]])[:rows]


functions = {
    "remap": lambda mode, shift: cv2.remap(photo, x + np.float32(shift), y, mode, **BORDER, **ACCURATE),
    "warpAffine": lambda mode, shift: cv2.warpAffine(
        photo, matrix(shift, rows=2), size, flags=mode | cv2.WARP_INVERSE_MAP, **BORDER
    ),
    "warpPerspective": lambda mode, shift: cv2.warpPerspective(
        photo, matrix(shift, rows=3), size, flags=mode | cv2.WARP_INVERSE_MAP, **BORDER
    ),
}
steps = {}
for name, warp in functions.items():
    for label, mode in MODES.items():
        # 65 shifts from 0 to 1/8 of a pixel, 1/512 apart: 65 pictures, or 5 in steps of 1/32.
        pictures = [warp(mode, k / 512)[16:-16, 16:-16].tobytes() for k in range(65)]
        steps[name, label] = len(set(pictures))
        same = next((k for k in range(1, 65) if pictures[k] != pictures[0]), 65)
        print(f"{name:16} {label:9} 65 shifts give {steps[name, label]:3} pictures, the first other one at {same}/512")

random = np.random.default_rng(0)
flow = [cv2.GaussianBlur(random.normal(0, 20, x.shape), (0, 0), 8).astype(np.float32) for _ in "xy"]
places = x + flow[0], y + flow[1]
right = map_coordinates(photo.astype(float), [places[1], places[0]], order=1, mode="nearest")
off = np.abs(cv2.remap(photo, *places, cv2.INTER_LINEAR, **BORDER) - right)
psnr = -10 * np.log10(((off / 255) ** 2).mean())
print(f"bilinear remap by a smooth flow: off by up to {off.max():.3f} of 255, {psnr:.1f} dB")
old = cv2.__version__.startswith("4.")
as_found = all((count < 8) == (old or label == "Lanczos") for (_, label), count in steps.items())
sys.exit(not (as_found and (off.max() > 1.5 and psnr < 68 if old else psnr > 90)))
PY
as_found=true
for version in 4.14.0.94 5.0.0.93; do
    uv venv -q --python 3.11 "venv$version"
    uv pip install -q --python "venv$version/bin/python" "opencv-python-headless==$version" numpy==2.4.6 \
        scikit-image==0.26.0 scipy==1.17.1
    "venv$version/bin/python" warp.py || as_found=false
done
if $as_found; then
    echo "As found."
else
    echo "The behaviour has changed."
    exit 1
fi
