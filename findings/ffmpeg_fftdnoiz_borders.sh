#!/usr/bin/env bash
# FFmpeg's denoiser fftdnoiz draws a pattern at the right and bottom borders, even of a picture of one colour.
#
# One would expect: a picture of a single grey has no noise, and leaves the filter as it entered it, at every size.
# What happens: within half a block (16 pixels) of the right and bottom borders, levels change, by an amount that depends
#   on the size and differs from call to call: 10 to 23 of 255 at 641x481, 11 to 40 at 33x33, 3 at 640x480, 1 at
#   500x500. Away from them the grey is exact.
# Why it matters: denoised before upscaling, the picture gets an edge that the network sharpens, in tiles one at every
#   seam, and no two runs give the same picture.
# Instead: extend the picture by a block on each side, by reflection, and cut that off afterwards: exact at every size,
#   and the same each time.
# Versions: av 18.1.0 (its own FFmpeg), numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

print("av", av.__version__)
BLOCK = 32


def denoised(image):
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=image.shape[1], height=image.shape[0], format=av.VideoFormat("gray"), time_base=Fraction(1, 25)
    )
    filtering, sink = graph.add("fftdnoiz", f"sigma=20:block={BLOCK}"), graph.add("buffersink")
    source.link_to(filtering)
    filtering.link_to(sink)
    graph.configure()
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray")
    frame.pts = 0
    graph.push(frame)
    return graph.pull().to_ndarray()


worst, extended = {}, {}
for height, width in ((481, 641), (33, 33), (480, 640), (500, 500)):
    image = np.full((height, width), 128, np.uint8)
    error = np.abs(denoised(image).astype(int) - image)
    worst[width] = int(error.max())
    edge = slice(BLOCK, -BLOCK)
    inside = error[:-BLOCK, :-BLOCK].max() if width > 2 * BLOCK else 0
    extended[width] = int(np.abs(denoised(np.pad(image, BLOCK, "symmetric"))[edge, edge].astype(int) - image).max())
    print(f"{width}x{height}: at the borders {worst[width]}, elsewhere {inside}, extended before {extended[width]} levels")

as_described = worst[641] >= 5 and worst[33] >= 5 and max(extended.values()) == 0
print("as described" if as_described else "the behaviour has changed")
sys.exit(not as_described)
PY
