#!/usr/bin/env bash
# Pillow's AVIF turns colours greener with every save, also at quality 100 and 4:4:4: colour is rounded down.
#
# One would expect: at quality 100 without chroma subsampling AVIF is within a rounding of the picture, up and down alike,
#   as JPEG is; the mean of each channel changes by less than a twentieth of a level.
# What happens: U and V of the file are half a level below the picture's (JFIF's matrix, full range), each of them floor(x)
#   in the place of round(x); Y is right, and so is the decoder. A picture loses .7 of a level of red and .9 of blue, and
#   gains .5 of green; ten saves take 3.7 of red and 5.1 of blue and add 2.9 of green. It is so at every quality, in
#   limited range and with 4:2:0. Greys stay grey, and so tests with grey pictures show nothing. imagecodecs, which has
#   libavif too, has the same tint below level 100; at 100 it writes RGB without loss.
# Why it matters: LR compressed as AVIF is tinted against HR, always in the same direction, and a network learns to take
#   that away; PSNR of AVIF against other formats counts a shift that no compression needs.
# Instead: convert to YUV with rounding and encode that, as with PyAV; or measure colour shift beside PSNR.
# Versions: pillow 13.0.0 (libavif 1.4.2), imagecodecs 2026.3.6 (libavif 1.4.0), av 18.1.0, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
uv venv -q --python 3.11 venv
uv pip install -q --python venv/bin/python pillow==13.0.0 imagecodecs==2026.3.6 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import io
import sys

import av
import imagecodecs
import numpy as np
from PIL import Image, features

print("pillow", Image.__version__, "libavif", features.version("avif"))
small = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
picture = np.asarray(Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC))  # smooth, of all colours
grey = np.repeat(np.asarray(Image.fromarray(picture).convert("L"))[..., None], 3, 2)


def encoded(pixels, kind="avif", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def shift(found, pixels):
    return (found.astype(float) - pixels).mean((0, 1))


as_found = True
full = {"quality": 100, "subsampling": "4:4:4"}
for name, options in {
    "quality 100, 4:4:4": full, "quality 100, 4:2:0": {"quality": 100}, "quality 60, 4:2:0": {"quality": 60},
    "quality 100, 4:4:4, limited range": {**full, "range": "limited"},
}.items():  # fmt: skip
    red, green, blue = shift(decoded(encoded(picture, **options)), picture)
    print(f"AVIF, {name}: red {red:+.2f}, green {green:+.2f}, blue {blue:+.2f} levels")
    as_found &= bool(red < -0.4 and green > 0.4 and blue < -0.6)
jpeg = shift(decoded(encoded(picture, "jpeg", quality=100, subsampling=0)), picture)
of_grey = shift(decoded(encoded(grey, **full)), grey)
print("JPEG, quality 100, 4:4:4:", jpeg.round(3), "  AVIF of grey:", of_grey.round(3))
as_found &= bool(abs(jpeg).max() < 0.02 and abs(of_grey).max() == 0)

data = encoded(picture, **full)
frame = next(av.open(io.BytesIO(data)).decode(video=0))
y, u, v = frame.to_ndarray().astype(float)  # yuv444p
x = picture.astype(float)
luma = x @ [0.299, 0.587, 0.114]
exact = luma, 128 + (x[..., 2] - luma) / 1.772, 128 + (x[..., 0] - luma) / 1.402
errors = [(plane - right).mean() for plane, right in zip((y, u, v), exact, strict=True)]
print("planes in the file against the matrix: Y {:+.3f}, U {:+.3f}, V {:+.3f}".format(*errors))
as_found &= abs(errors[0]) < 0.03 and all(abs(error + 0.5) < 0.03 for error in errors[1:])
rgb = np.stack((y + 1.402 * (v - 128), y - 0.344136 * (u - 128) - 0.714136 * (v - 128), y + 1.772 * (u - 128)), -1)
of_decoder = shift(decoded(data), rgb.clip(0, 255))
print("the decoder against the planes:", of_decoder.round(3))
as_found &= bool(abs(of_decoder).max() < 0.05)

again = picture
for _ in range(10):
    again = decoded(encoded(again, **full))
ten = shift(again, picture)
print("after ten saves:", ten.round(1))
as_found &= bool(ten[0] < -3 and ten[1] > 2 and ten[2] < -4)
other = shift(imagecodecs.avif_decode(imagecodecs.avif_encode(picture, level=90))[..., :3], picture)
print("imagecodecs, level 90:", other.round(2))
as_found &= bool(other[0] < -0.4 and other[1] > 0.4)
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
