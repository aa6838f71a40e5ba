#!/usr/bin/env bash
# x265 makes wrong pixels where a picture is exactly one coding tree unit wide: lossless isn't lossless.
#
# One would expect: x265-params lossless=1 gives every frame back, at any size; and in any stream the decoder's
#   pictures are those that the encoder made and predicts from, whose MD5 it writes with hash=1.
# What happens: at a width of 64 (with ctu=32 at 32, with ctu=16 at 16) some pixels of frames that are predicted from
#   others are off, by up to 90 levels, mostly in the last CTU. FFmpeg's decoder finds that the MD5 of these frames is not
#   the encoder's, in lossy streams too. Which frames differs from run to run. Widths of 62, 66, 72 and 128 are right, and
#   so is every width with keyint=1.
# Why it matters: 64x64 is a usual size of LR crops. Crops compressed one by one, as degradations with HEVC do, have errors
#   that no real video has, and are not repeatable; a lossless store of such clips isn't one.
# Instead: a width that isn't the CTU's: pad by 2 to 66 pixels and crop, or ctu=32 at a width of 64.
# Versions: av 18.1.0 (x265 4.2+1 in its wheel), numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import re
import sys

import av
import numpy as np

noise = np.random.default_rng(0)


def clips(width, height=64, frames=12):
    """Two clips of YUV 4:2:0: waves that move, and noise."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin((x + 2 * t) / 5) + 50 * np.cos((y + t) / 7) for t in range(frames)]
    grey = np.full((height // 2, width), 128)
    yield "waves", [np.vstack((luma, grey)).round().astype(np.uint8) for luma in waves]
    yield "noise", [noise.integers(0, 256, (height * 3 // 2, width), np.uint8) for _ in range(frames)]


def coded(planes, parameters):
    """Encode a clip, and decode it in one thread; also count the frames whose MD5 is not the encoder's."""
    height, width = planes[0].shape[0] * 2 // 3, planes[0].shape[1]
    with av.open("clip.mkv", "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": f"log-level=error:hash=1:{parameters}"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, plane in enumerate(planes):
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.logging.Capture() as said, av.open("clip.mkv") as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.options = "NONE", {"err_detect": "crccheck"}
        frames = list(container.decode(video=0))
        stated = b"".join(bytes(data) for data in frames[0].side_data if data.type.name == "SEI_UNREGISTERED")
        version = re.search(rb"build \d+\) - ([\w.+-]+)", stated)
    wrong = sum("mismatching checksum" in text for _, _, text in said)
    return [frame.to_ndarray() for frame in frames], wrong, version


av.logging.set_level(av.logging.WARNING)
bad, good = [], []
for width in (16, 32, 62, 64, 66, 72, 128):
    for parameters in ("lossless=1", "lossless=1:ctu=32", "lossless=1:ctu=16", "lossless=1:keyint=1", "crf=23"):
        ctu = int(parameters.partition("ctu=")[2] or min(64, 16 if width < 32 else 32 if width < 64 else 64))
        if width < ctu:
            continue
        off, wrong, largest = 0, 0, 0
        for _, planes in clips(width):
            made, mismatches, version = coded(planes, parameters)
            wrong += mismatches
            if "lossless" in parameters:
                differences = [np.abs(a.astype(int) - b).max() for a, b in zip(made, planes)]
                off, largest = off + sum(d > 0 for d in differences), max(largest, *differences)
        expected = width == ctu and "keyint" not in parameters
        (bad if expected else good).append((off if "lossless" in parameters else wrong) or wrong)
        print(f"{width:4} wide {parameters:20} of 24 frames off: {off:3}, by at most {largest:3}; other MD5: {wrong:3}")
print("x265", version[1].decode() if version else "?", "in av", av.__version__)
as_found = all(bad) and not any(good)
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
