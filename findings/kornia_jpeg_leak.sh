#!/usr/bin/env bash
# kornia's JPEG augmentation loses less than a JPEG of that quality, and what it "loses" is still in the picture.
#
# One would expect: RandomJPEG / jpeg_codec_differentiable at quality q gives what Pillow's JPEG at q gives, to within
#   rounding.
# What happens: to have a gradient, each DCT coefficient is rounded as round(c) + (c - round(c))^3, in the augmentation
#   too. The rest of up to .125 of a step stays: at every quality tried the picture is .6 to 1.3 dB nearer to the
#   original than a real JPEG, and a few lines (the cube root of each coefficient's rest) get 2 to 10 dB more back;
#   the same lines make a real JPEG worse.
# Why it matters: a restoration or super-resolution network that trains on it sees detail that no real JPEG has, and
#   can learn to read it; its score on such pictures says nothing of real ones.
# Instead: for degradation use torchvision.transforms.v2.JPEG (equal to Pillow's to the bit, as is OpenCV's). Rounding
#   kornia's output to 8 bits stops these few lines, but the picture stays too good.
# Versions: kornia 0.9.0, torch 2.15.0, torchvision 0.29.2, pillow 13.0.0, scipy 1.17.1, numpy 2.4.6,
#   scikit-image 0.26.0 (a grey photograph), Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 kornia==0.9.0 pillow==13.0.0 \
    scipy==1.17.1 scikit-image==0.26.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'PY'
import importlib.metadata
import io
import sys

import kornia
import numpy as np
import skimage.data
import torch
from PIL import Image
from scipy.fft import dctn, idctn
from torchvision.transforms.v2 import functional as tv

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("kornia", "torch", "torchvision", "pillow")))
photo = skimage.data.camera()  # grey: as R = G = B the chroma, and with it 4:2:0, plays no part
rgb = np.repeat(photo[..., None], 3, 2)
# The luminance table of the JPEG standard (Annex K), at quality 50.
TABLE = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
     87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
     72, 92, 95, 98, 112, 100, 103, 99], float).reshape(8, 8)


def dB(picture):
    return 10 * np.log10(255**2 / ((picture - photo.astype(float)) ** 2).mean())


def undone(picture, quality):
    """The rest of each coefficient, taken for a cube."""
    steps = np.clip(np.floor(((5000 / quality if quality < 50 else 200 - 2 * quality) * TABLE + 50) / 100), 1, 255)
    blocks = picture.reshape(64, 8, 64, 8).swapaxes(1, 2) - 128
    levels = dctn(blocks, axes=(2, 3), norm="ortho") / steps
    levels = np.rint(levels) + np.cbrt(levels - np.rint(levels)).clip(-0.5, 0.5)
    return (idctn(levels * steps, axes=(2, 3), norm="ortho") + 128).swapaxes(1, 2).reshape(512, 512).clip(0, 255)


print("PSNR to the original    real JPEG      kornia   kornia in 8 bits   kornia undone   real JPEG undone")
as_found = True
for quality in (10, 30, 50, 75, 90):
    Image.fromarray(rgb).save(file := io.BytesIO(), "JPEG", quality=quality)
    real = np.asarray(Image.open(file))[..., 0].astype(float)
    as_found &= bool((tv.jpeg(torch.from_numpy(rgb).permute(2, 0, 1), quality)[0].numpy() == real).all())
    augment = kornia.augmentation.RandomJPEG(jpeg_quality=(quality, quality), p=1.0)
    soft = augment(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)[0, 0].double().numpy() * 255
    row = dB(real), dB(soft), dB(soft.round()), dB(undone(soft, quality)), dB(undone(real, quality))
    print(f"quality {quality:3}" + "".join(f"{value:{width}.2f}" for value, width in zip(row, (22, 12, 19, 16, 19))))
    as_found &= row[1] > row[0] + 0.4 and row[2] > row[0] + 0.4 and row[3] > row[1] + 1.5 and row[4] < row[0]
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
