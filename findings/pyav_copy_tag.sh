#!/usr/bin/env bash
# A stream copied with PyAV loses its tag: ProRes 4444 comes back with 10 bits of 12, raw video as another format.
#
# One would expect: add_stream_from_template and mux, the way of PyAV's own remux example, copy a stream as
#   "ffmpeg -c copy" does: the same packets, so the same pictures, in the same format.
# What happens: the packets are the same, but the stream's codec tag is set to 0 and the new file gets the first that
#   its container knows for the codec. ProRes of every kind becomes 422 HQ: Proxy and LT are labelled as HQ, and 4444,
#   which FFmpeg decodes to 12 bits by its tag, is decoded to 10. UYVY in AVI comes back as rgb555le, and so does 4:4:4
#   10-bit in NUT: the picture is noise. No error, no warning; opaque=True changes nothing. (That HEVC's hvc1 becomes
#   hev1 is known, and that Apple's players refuse it; it isn't shown here.)
# Why it matters: cutting or re-wrapping masters without loss is how clips for video super-resolution are made. The copy
#   has a lower depth than its source, or other pixels, and whoever asks for its profile is told the wrong one.
# Instead: after add_stream_from_template, copied.codec_context.codec_tag = source.codec_context.codec_tag. If the
#   new container is of another kind, look whether it knows the tag.
# Versions: av 18.1.0 (its own FFmpeg), numpy 2.4.6, Python 3.11, x86-64.
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

print("av", av.__version__)
av.logging.set_level(av.logging.PANIC)
y, x = np.mgrid[:64, :256]
picture = np.stack([x * 257, 65535 - x * 257, y * 1040], -1).astype(np.uint16)


def write(path, codec, pixel_format, **options):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = 256, 64, pixel_format
        frame = av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(format=pixel_format)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def copy(path, to, keep_tag):
    with av.open(path) as source, av.open(to, "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        if keep_tag:
            copied.codec_context.codec_tag = stream.codec_context.codec_tag
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)


def read(path):
    """Tag, profile and pixel format, the bytes of the packet, and the picture as 16-bit RGB."""
    with av.open(path) as container:
        context = container.streams.video[0].codec_context
        packet = next(container.demux(video=0))
        frame = packet.decode() or context.decode(None)
        label = f"{context.codec_tag} {context.profile or ''}".strip("\0 ") or "no tag"
        return f"{label}, {frame[0].format.name}", bytes(packet), frame[0].to_ndarray(format="rgb48le").astype(int)


cases = {
    "mov": [
        ("prores_ks", "yuv422p10le", {"profile": "proxy"}, "apch HQ, yuv422p10le"),
        ("prores_ks", "yuv422p10le", {"profile": "lt"}, "apch HQ, yuv422p10le"),
        ("prores_ks", "yuv444p10le", {"profile": "4444"}, "apch HQ, yuv444p10le"),
        ("prores_ks", "yuva444p10le", {"profile": "4444xq"}, "apch HQ, yuva444p10le"),
    ],
    "avi": [("rawvideo", "uyvy422", {}, "no tag, rgb555le")],
    "nut": [("rawvideo", "yuv444p10le", {}, "RGB\x0f, rgb555le")],
}
as_found = True
for container, rows in cases.items():
    for codec, pixel_format, options, expected in rows:
        path = f"source.{container}"
        write(path, codec, pixel_format, **options)
        label, packet, decoded = read(path)
        print(f"{container}: {label!r}")
        for keep_tag in (False, True):
            copy(path, f"copy.{container}", keep_tag)
            got, same_packet, again = read(f"copy.{container}")
            assert same_packet == packet
            off = np.abs(again - decoded).max()
            print(f"     {'copied, tag kept' if keep_tag else 'copied':17} {got!r:28} off by at most {off:5} of 65535")
            as_found &= got == (label if keep_tag else expected) and (off == 0 or not keep_tag)
            as_found &= keep_tag or (off > 20000 if codec == "rawvideo" else (off > 0) == ("444" in pixel_format))
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
