#!/usr/bin/env bash
# The white of a video isn't white in most of the formats in which PyAV hands it out.
#
# One would expect: a lossless clip (FFV1) of a grey ramp, black to white, decoded with to_ndarray(format=...): black
#   is 0 and white the type's largest value, to within one step of 8 bits; and asking for more bits costs nothing.
# What happens: it depends on the pair of formats.
#   grayf32le: black .0625, white .918: the studio range is kept, though "gray" and "gray16le" expand it.
#   rgb24 of 10-bit 4:2:0: white is 253, all greys are darker by up to 2.6 levels; of 8-bit 4:2:0 white is 255,
#   and so is it as bgr24. rgb48le, gbrp16le, gbrpf32le: white is 65283 (.996), of 8-bit 4:2:0 as rgb48le 65021
#   (.992): divided by 65535, the picture is a level or two darker than the same one from rgb24.
# Why it matters: LR and HR decoded through different formats or depths differ in brightness: a network learns that
#   shift, and PSNR against it is limited (the last column). Luma in float is wrong by 8% of contrast.
# Instead: give reformat() interpolation=0x42004 (bicubic, full_chroma_int, accurate_rnd): rgb24 is then right to half a
#   step from either depth, and the white of 16-bit RGB is 65283 from either: divide by that. Float luma: gray16le.
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

print("av", av.__version__, {name: ".".join(map(str, version)) for name, version in av.library_versions.items()
                            if name == "libswscale"})
FLAGS = 0x4 | 0x2000 | 0x40000
FULL = {"rgb24": 255, "bgr24": 255, "gray": 255, "grayf32le": 1, "gbrpf32le": 1}


def decoded(pixel_format):
    """A clip's first frame: a ramp of luma from black to white, no colour."""
    bits = 10 if "10" in pixel_format else 8
    planes = np.full((96, 1024), 128 << bits - 8, np.uint16 if bits > 8 else np.uint8)
    planes[:64] = np.linspace(16 << bits - 8, 235 << bits - 8, 1024).round()
    with av.open("clip.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 1024, 64, pixel_format
        container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format=pixel_format)))
        container.mux(stream.encode(None))
    with av.open("clip.mkv") as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == pixel_format and (frame.to_ndarray() == planes).all()  # it was lossless
    return frame, (planes[32].astype(float) - (16 << bits - 8)) / (219 << bits - 8)


found = {}
for source in ("yuv420p", "yuv420p10le"):
    frame, right = decoded(source)
    for target in (
        "rgb24", "bgr24", "gray", "gray16le", "grayf32le", "rgb48le", "gbrp16le", "gbrpf32le", "rgb24 flags"
    ):
        name, _, flags = target.partition(" ")
        got = frame.reformat(format=name, interpolation=FLAGS if flags else None).to_ndarray()[32]
        got = got.reshape(1024, -1)[:, 0] / FULL.get(name, 65535)
        psnr = -10 * np.log10(((got - right) ** 2).mean())
        white = found[source, target] = float(got[-1])
        scale = f"{255 * white:6.2f} of 255"
        print(f"{source:12} as {target:12} black {got[0]:.4f} white {white:.4f} ({scale}), {psnr:5.1f} dB")
eight, ten = "yuv420p", "yuv420p10le"
near = {
    (eight, "rgb24"): 1, (ten, "rgb24"): 253 / 255, (ten, "bgr24"): 1, (ten, "rgb24 flags"): 1, (ten, "gray16le"): 1,
    (eight, "grayf32le"): 0.918, (ten, "grayf32le"): 0.918, (eight, "gray"): 1,
    (eight, "rgb48le"): 65021 / 65535, (ten, "rgb48le"): 65283 / 65535, (eight, "gbrpf32le"): 0.99615,
}
as_found = all(abs(found[key] - value) < 5e-4 for key, value in near.items())
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
