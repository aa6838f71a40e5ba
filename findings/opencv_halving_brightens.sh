#!/usr/bin/env bash
# cv2.resize by one half with INTER_AREA makes integer pictures brighter: halves are rounded up.
#
# One would expect: INTER_AREA by a whole factor is the mean of squares of pixels, rounded to the nearest level, and on
#   average neither brighter nor darker than the picture, for any factor.
# What happens: for the factors 3 to 8 it is so, halves go to the even level. For the factor 2, and only there, each half
#   goes up. A quarter of all means of four end in .5, so an 8-bit or 16-bit picture gets brighter by 1/8 of a level, and
#   three halvings by up to 3/8, where INTER_AREA by 8 at once adds nothing. INTER_LINEAR by one half gives the same
#   pictures of 8 bits, and unbiased ones of 16.
# Why it matters: HR or LR made so is tinted against the picture that it was made of, always in the same direction, more
#   with every level of a pyramid; a network learns the difference.
# Instead: convert to float32 first and round at the end (numpy's rint), or reduce by the whole factor at once.
# Versions: opencv-python-headless 4.14.0.94 and 5.0.0.93, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > halve.py <<'PY'
import sys

import cv2
import numpy as np

print("opencv", cv2.__version__)
random = np.random.default_rng(0)


def means(picture, factor):
    height, width = (side // factor for side in picture.shape)
    return picture.reshape(height, factor, width, factor).astype(float).mean((1, 3))


def resized(picture, factor, mode):
    return cv2.resize(picture, (picture.shape[1] // factor, picture.shape[0] // factor), interpolation=mode)


as_found = True
for kind in (np.uint8, np.uint16):
    noise = random.integers(0, np.iinfo(kind).max + 1, (1680, 1680), dtype=kind)
    for factor in (2, 3, 4, 5, 6, 7, 8):
        exact, found = means(noise, factor), resized(noise, factor, cv2.INTER_AREA)
        halves, bias = exact % 1 == 0.5, (found - exact).mean()
        up = f"{(found > exact)[halves].mean():.0%} of the halves go up" if halves.any() else "no halves"
        print(f"{np.dtype(kind).name:6} INTER_AREA by {factor}: {bias:+.4f} levels, {up}")
        as_found &= bool(abs(bias - 0.125) < 0.01 if factor == 2 else abs(bias) < 0.01)
    same = np.array_equal(resized(noise, 2, cv2.INTER_LINEAR), resized(noise, 2, cv2.INTER_AREA))
    as_found &= same == (kind is np.uint8)
    single = resized(noise.astype(np.float32), 2, cv2.INTER_AREA)
    as_found &= bool(abs(single - means(noise, 2)).max() < 0.01)

picture, levels = random.integers(0, 256, (1600, 1600), dtype=np.uint8), []
at_once = resized(picture, 8, cv2.INTER_AREA).mean() - picture.mean()
small = picture
for _ in range(3):
    small = resized(small, 2, cv2.INTER_AREA)
    levels.append(small.mean() - picture.mean())
print("one, two, three halvings:", *(f"{level:+.3f}" for level in levels), f"levels; by 8 at once: {at_once:+.3f}")
as_found &= bool(levels[2] > 0.3 and abs(at_once) < 0.02)
sys.exit(not as_found)
PY
as_found=true
for version in 4.14.0.94 5.0.0.93; do
    uv venv -q --python 3.11 "venv$version"
    uv pip install -q --python "venv$version/bin/python" "opencv-python-headless==$version" numpy==2.4.6
    "venv$version/bin/python" halve.py || as_found=false
done
if $as_found; then
    echo "As found."
else
    echo "The behaviour has changed."
    exit 1
fi
