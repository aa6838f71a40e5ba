#!/usr/bin/env bash
# A WebM file with VP8 states its colours in vain: FFmpeg's decoder calls every frame BT.601 of limited range.
#
# One would expect: VP8 itself has no range and one matrix, but WebM's Colour element states both; FFmpeg writes and reads
#   it, so full range and BT.709 survive, as they do with VP9.
# What happens: the element is in the file, and the opened stream has range 2 (full) and matrix 1 (BT.709). The first
#   decoded frame has range 1 and matrix 5 (BT.601), and afterwards the stream has, too. Grey 60 is read as 51, grey 200 as
#   214, RGB (200, 40, 90) as (197, 6, 86). With libvpx-vp9 in its place all is kept.
# Why it matters: phones and screen recorders film in full range, HD is BT.709. Frames for training or for enlarging that
#   were passed on as VP8 have more contrast and another hue, and what reads only the stream's tags sees nothing wrong.
# Instead: encode VP8 as BT.601 of limited range whatever the source; or VP9. Trust the tags of frames, not of streams.
# Versions: av 18.1.0 (FFmpeg's libraries as in the wheel), Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY' 2>/dev/null
import io
import sys

import av
import numpy as np

FULL, BT709 = 2, 1
COLOURS = {"grey 60": (60, 60, 60), "grey 200": (200, 200, 200), "colour": (200, 40, 90)}


def yuv(rgb):  # BT.709, full range
    r, g, b = rgb
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return [round(v) for v in (y, 128 + (b - y) / 1.8556, 128 + (r - y) / 1.5748)]


def rgb_of(frame):
    planes = frame.to_ndarray()
    y, u, v = float(planes[0, 0]), float(planes[64, 0]), float(planes[80, 0])
    luma, chroma = (1, 1) if int(frame.color_range) == FULL else (255 / 219, 255 / 224)
    y = (y - (0 if luma == 1 else 16)) * luma
    kr, kb = (0.2126, 0.0722) if int(frame.colorspace) == BT709 else (0.299, 0.114)
    r, b = y + 2 * (1 - kr) * (v - 128) * chroma, y + 2 * (1 - kb) * (u - 128) * chroma
    return [int(np.clip(round(x), 0, 255)) for x in (r, (y - kr * r - kb * b) / (1 - kr - kb), b)]


print("av", av.__version__)
found = {}
for codec in ("libvpx", "libvpx-vp9"):
    for name, rgb in COLOURS.items():
        file = io.BytesIO()
        with av.open(file, "w", format="webm") as container:
            stream = container.add_stream(codec, rate=25, options={"crf": "4", "b": "4M"})
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            context = stream.codec_context
            context.color_range, context.colorspace = FULL, BT709
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane, value in zip(frame.planes, yuv(rgb), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.color_range, frame.colorspace = FULL, BT709
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        element = b"\x55\xb9\x81\x02" in file.getvalue()  # Colour: Range, 2
        file.seek(0)
        with av.open(file) as container:
            context = container.streams.video[0].codec_context
            opened = int(context.color_range), int(context.colorspace)
            frame = next(container.decode(video=0))
            found[codec, name] = opened, (int(frame.color_range), int(frame.colorspace)), rgb_of(frame)
        print(
            f"{codec:11} {name:9} in the file: {element}  stream opened as {opened}, frame {found[codec, name][1]}; "
            f"{rgb} is read as {found[codec, name][2]}"
        )
        assert element
as_found = all(
    opened == (FULL, BT709) and frame == ((1, 5) if codec == "libvpx" else (FULL, BT709))
    for (codec, _), (opened, frame, _) in found.items()
)
as_found &= abs(found["libvpx", "grey 200"][2][0] - 214) < 4 and abs(found["libvpx-vp9", "grey 200"][2][0] - 200) < 4
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
