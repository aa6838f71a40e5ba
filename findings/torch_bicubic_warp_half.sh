#!/usr/bin/env bash
# A picture of one colour, warped with bicubic grid_sample in bf16, gets a pattern of 6 % darker and 4 % brighter pixels.
#
# One would expect: in bf16 or fp16 a warped picture is that of fp32 to within rounding: with bf16 1/256 near white, with fp16 1/2048,
#   and a picture that is white everywhere stays so, wherever the pixels are taken from, as it does with mode="bilinear".
# What happens: the weights of the bicubic kernel are computed in the type of the picture, and rounded they don't add up to 1. White
#   becomes .94 to 1.04 in bf16, .994 to 1.006 in fp16, differently from pixel to pixel with the fractions of their places: a
#   pattern of up to 15 levels of 255. Bicubic F.interpolate to 1.5 times the size has it too, in bf16: white becomes .996 to 1.
# Why it matters: networks for video warp frames and features by a flow, and are run in half precision by casting them
#   (model.half(), model.bfloat16()). The pattern moves with the flow, so it flickers. Inside autocast it doesn't appear: grid_sample
#   computes in fp32 there.
# Instead: give grid_sample fp32 pictures and grids, as autocast does, or use mode="bilinear".
# Versions: torch 2.15.0, numpy 2.4.6, Python 3.11, CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import torch
import torch.nn.functional as F

white = torch.ones(1, 3, 64, 96)
# Everywhere inside the picture, so that no border is sampled.
grid = F.affine_grid(torch.eye(2, 3)[None], (1, 3, 64, 96), align_corners=False) * 0.8 + 0.013


def warped(kind, mode):
    return F.grid_sample(white.to(kind), grid.to(kind), mode=mode, padding_mode="border", align_corners=False).float()


print("white, warped: darkest and brightest pixel")
for kind in (torch.float32, torch.float16, torch.bfloat16):
    for mode in ("bilinear", "bicubic"):
        found = warped(kind, mode)
        print(f"  {str(kind):15} {mode:9} {found.min():.4f} {found.max():.4f}")
        if mode == "bilinear" or kind == torch.float32:
            assert (found - 1).abs().max() < 1e-5
low, high = warped(torch.bfloat16, "bicubic").aminmax()
assert low < 0.95 and high > 1.02
low, high = warped(torch.float16, "bicubic").aminmax()
assert low < 0.996 and high > 1.004

with torch.autocast("cpu", torch.bfloat16):
    inside = warped(torch.bfloat16, "bicubic")
print(f"  bf16 in autocast, bicubic: {inside.min():.4f} {inside.max():.4f}")
assert (inside - 1).abs().max() < 1e-5

larger = F.interpolate(white.bfloat16(), scale_factor=1.5, mode="bicubic").float()
print(f"white, enlarged by 1.5 in bf16: {larger.min():.4f} {larger.max():.4f}")
assert larger.min() < 0.997
PY
