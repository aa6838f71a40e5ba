#!/usr/bin/env bash
# The transparent colour of a PNG gets lost in Pillow, OpenCV or torchvision, each at other kinds of picture.
#
# One would expect: a grey or RGB PNG may name one colour as transparent (its tRNS chunk). Asked for alpha (Pillow's
#   convert("RGBA"), OpenCV's IMREAD_UNCHANGED, torchvision's RGB_ALPHA), a reader makes that colour transparent, as it
#   does for a palette's.
# What happens: Pillow compares the key, at the file's depth, with pixels it has brought to 8 bits: in grey of 2 or 4
#   bits (unless the key is black) and in grey or RGB of 16 nothing becomes transparent, or, with a dark 16-bit RGB key,
#   another colour does. Saved again, most of these files have a wrong key too. OpenCV ignores the key of every grey
#   picture. torchvision ignores every key but a palette's and fills alpha with 255. No error, no warning but libpng's
#   about the key that Pillow saved. imagecodecs reads all of them right.
# Why it matters: lossless PNG optimisers turn an RGBA picture with a cut-out into just this (oxipng below: grey with a
#   transparent colour). What was hidden becomes a flat area of an arbitrary value in the training picture, or counts
#   in the metric.
# Instead: imagecodecs.png_decode; or look for the tRNS chunk (Pillow: "transparency" in image.info) and compare the raw
#   pixels with it before anything is scaled.
# Versions: pillow 13.0.0, opencv-python-headless 5.0.0.93 (4.14.0 ignores grey keys as well), torchvision 0.29.2,
#   torch 2.15.0, imagecodecs 2026.3.6, pyoxipng 9.1.1, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" pillow==13.0.0 opencv-python-headless==5.0.0.93 torch==2.15.0 \
    torchvision==0.29.2 imagecodecs==2026.3.6 pyoxipng==9.1.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import importlib.metadata
import io
import struct
import sys
import zlib

import cv2
import imagecodecs
import numpy as np
import oxipng
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_png

packages = "pillow", "opencv-python-headless", "torchvision", "imagecodecs", "pyoxipng"
print(*(f"{name} {importlib.metadata.version(name)}" for name in packages))
GREY, RGB, PALETTE = 0, 2, 3


def png(kind, depth, colours, key, extra=b""):
    """A PNG of one row, a pixel a colour."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    bits = "".join(f"{sample:0{depth}b}" for colour in colours for sample in colour)
    row = b"\0" + int(bits.ljust(-len(bits) // 8 * -8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    header = struct.pack(">IIBBBBB", len(colours), 1, depth, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"tRNS", key) + chunk(b"IDAT", zlib.compress(row))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def samples(*values):
    return struct.pack(f">{len(values)}H", *values)


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[0]


def pillow_saved_again(data):
    Image.open(io.BytesIO(data)).save(file := io.BytesIO(), "PNG")
    return imagecodecs.png_decode(file.getvalue())[0]


def opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[0]


def torchvision(data):
    return decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB_ALPHA)[:, 0].numpy().T


def transparent(pixels):
    """The places of the transparent pixels; None without alpha."""
    return np.flatnonzero(pixels[:, -1] == 0).tolist() if pixels.ndim == 2 and pixels.shape[1] in (2, 4) else None


readers = pillow, pillow_saved_again, opencv, torchvision, lambda data: imagecodecs.png_decode(data)[0]
greys = {depth: [(step * i,) for i in range(4)] for depth, step in ((2, 1), (4, 5), (8, 80), (16, 20000))}
palette = struct.pack(">I", 12) + b"PLTE" + bytes(range(0, 240, 20))
palette += struct.pack(">I", zlib.crc32(palette[4:]))
hidden = np.where(np.arange(8192) // 32 % 8 < 3, 0, 255)
cut_out = np.stack([np.arange(8192) % 32 + 100] * 3 + [hidden], -1).astype(np.uint8)
Image.fromarray(cut_out.reshape(1, -1, 4), "RGBA").save(file := io.BytesIO(), "PNG")
optimised = oxipng.optimize_from_memory(file.getvalue(), optimize_alpha=True)
assert optimised[24:26] == bytes([8, GREY]) and b"tRNS" in optimised
pictures = {
    **{f"grey, {depth} bits": png(GREY, depth, greys[depth], samples(*greys[depth][1])) for depth in greys},
    **{
        f"RGB, {depth} bits": png(RGB, depth, [3 * grey for grey in greys[depth]], samples(*3 * greys[depth][1]))
        for depth in (8, 16)
    },
    "RGB, 16 bits, dark key": png(RGB, 16, [(2570,) * 3, (10,) * 3, (5140,) * 3], samples(10, 10, 10)),
    "palette, 2 bits": png(PALETTE, 2, [(i,) for i in range(4)], b"\xff\0", palette),
    "RGBA through oxipng": optimised,
}
names = "Pillow", "Pillow, saved again", "OpenCV", "torchvision", "imagecodecs"
print(f"{'transparent pixels, by place':24}" + "".join(f"{name:>20}" for name in names))
wrong = {}
for name, data in pictures.items():
    row = [transparent(read(data)) for read in readers]
    assert row[-1] == (np.flatnonzero(hidden == 0).tolist() if data is optimised else [1])
    wrong[name] = {reader for reader, places in zip(names, row, strict=True) if places != row[-1]}
    texts = ["no alpha" if places is None else str(places) if len(places) < 9 else f"{len(places)}" for places in row]
    print(f"{name:28}" + "".join(f"{text:>20}" for text in texts), flush=True)
saved, others = "Pillow, saved again", {"OpenCV", "torchvision"}
as_found = wrong == {
    "grey, 2 bits": {"Pillow", saved, *others},
    "grey, 4 bits": {"Pillow", saved, *others},
    "grey, 8 bits": others,
    "grey, 16 bits": {"Pillow", *others},
    "RGB, 8 bits": {"torchvision"},
    "RGB, 16 bits": {"Pillow", saved, "torchvision"},
    "RGB, 16 bits, dark key": {"Pillow", saved, "torchvision"},
    "palette, 2 bits": set(),
    "RGBA through oxipng": others,
}
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
