#!/usr/bin/env bash
# Seeking in an AVI with a palette, even to its start, makes all frames black.
#
# One would expect: seek(0) right after opening, or seeking back after some frames, gives the frames that reading from the
#   start gives. All frames of raw video are keyframes.
# What happens: the demuxer hands over the palette once, with the first packet that it reads; opening reads that packet
#   ahead, and the seek throws it away. The decoder has an empty palette: pal8 frames whose every colour is (0, 0, 0).
#   No error, no frame marked as corrupt. Without a seek, and after a seek that follows a decoded frame, colours are right.
# Why it matters: data loaders seek to the frame that they want, and train on black pictures; players that show the file
#   from its start see nothing wrong. Screen recordings and old games are the files with palettes.
# Instead: decode the first packet before seeking, with the decoder that is kept; don't seek to the start of a new file.
# Versions: av 18.1.0 (FFmpeg's libraries as in the wheel), Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys

import av
import numpy as np

palette = np.zeros((256, 4), np.uint8)
palette[:4] = [(255, 200, 40, 90), (255, 40, 180, 60), (255, 60, 60, 220), (255, 250, 250, 250)]  # alpha, red, green, blue
with av.open("palette.avi", "w") as container:
    stream = container.add_stream("rawvideo", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
    for i in range(4):
        container.mux(stream.encode(av.VideoFrame.from_ndarray((np.full((48, 64), i, np.uint8), palette), "pal8")))
    container.mux(stream.encode())


def colours(container):
    frames = list(container.decode(video=0))
    return [tuple(map(int, f.to_ndarray(format="rgb24")[0, 0])) for f in frames], any(f.is_corrupt for f in frames)


expected = [tuple(map(int, palette[i, 1:])) for i in range(4)]
seen = {}
with av.open("palette.avi") as container:
    seen["from the start"] = colours(container)
with av.open("palette.avi") as container:
    container.seek(0)
    seen["after seek(0) on opening"] = colours(container)
with av.open("palette.avi") as container:
    next(container.decode(video=0))
    container.seek(0)
    seen["after a frame and seek(0)"] = colours(container)
print("av", av.__version__)
for name, (found, corrupt) in seen.items():
    print(f"{name:26} {found}  corrupt: {corrupt}")
as_found = [found for found, _ in seen.values()] == [expected, [(0, 0, 0)] * 4, expected]
as_found &= not any(corrupt for _, corrupt in seen.values())
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
