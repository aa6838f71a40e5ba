#!/usr/bin/env bash
# torchvision's bicubic or Lanczos resize of 16-bit pictures turns white into black beside edges.
#
# One would expect: decode_image reads a 16-bit PNG as uint16, and transforms.v2 takes uint16 for its geometry, so
#   Resize clips the overshoot of bicubic at 0 and 65535, as it does at 0 and 255 for uint8.
# What happens: only uint8 is clipped. uint16 is computed in float and cast back: 65600 becomes 64 and -64 becomes
#   65472. Black specks appear on white beside edges, white specks on black. No error, no warning; the mean hardly
#   moves. Bilinear is right, for it can't overshoot.
# Why it matters: LR pictures made from 16-bit HR (RAW, HDR, medical, satellite) with the very resize that
#   super-resolution uses carry full-range outliers at every clipped edge; a network learns to paint them away.
# Instead: to float first (v2.ToDtype(torch.float32, scale=True)), resize, then clamp to [0, 1] yourself.
# Versions: torchvision 0.29.2, torch 2.15.0, pillow 13.0.0 (only to write the PNG), Python 3.11, x86-64 CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.io import decode_image
from torchvision.transforms import InterpolationMode, v2

print("torch", torch.__version__, "torchvision", torchvision.__version__)
# White discs and bars on black, as a 16-bit and as an 8-bit grey PNG.
y, x = np.mgrid[:256, :256]
picture = ((x - 80) ** 2 + (y - 90) ** 2 < 50**2) | ((x > 150) & (x // 12 % 2 == 0)) | (y > 220)
Image.fromarray((picture * 65535).astype(np.uint16)).save("deep.png")
Image.fromarray((picture * 255).astype(np.uint8)).save("usual.png")

found = {}
for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC, InterpolationMode.LANCZOS):
    for size in (100, 512):
        for path, top in (("usual.png", 255), ("deep.png", 65535)):
            pixels = decode_image(path)
            resize = v2.Resize([size, size], interpolation=mode, antialias=True)
            got = resize(pixels)
            right = resize(v2.functional.to_dtype(pixels, torch.float32, scale=True)).clamp(0, 1)
            off = (got.float() / top - right).abs()
            found[mode, size, path] = count = int((off > 0.5).sum())
            print(
                f"{mode.value:9} 256 -> {size} {str(got.dtype):13} pixels wrong by more than half the range: {count:6}"
                f"  worst {off.max().item():.3f}"
            )
wide = torch.zeros(1, 1, 12, dtype=torch.uint16)
wide[..., 6:] = 65535
bicubic = v2.Resize([1, 24], interpolation=InterpolationMode.BICUBIC, antialias=True)
print("an edge, 12 -> 24:", bicubic(wide).flatten()[6:18].tolist())
print("the same in float, clamped:", (bicubic(wide.float()).clamp(0, 65535).round()).int().flatten()[6:18].tolist())
sharp = [n for (mode, _, path), n in found.items() if path == "deep.png" and mode != InterpolationMode.BILINEAR]
others = [n for (mode, _, path), n in found.items() if path == "usual.png" or mode == InterpolationMode.BILINEAR]
as_found = min(sharp) > 0 and max(others) == 0
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
