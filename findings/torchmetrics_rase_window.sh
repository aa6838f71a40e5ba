#!/usr/bin/env bash
# RASE of torchmetrics, and of sewar, is too large by the number of pixels of its window: 64 times with the default.
#
# One would expect: of a target that is .5 everywhere and an estimate that is .55 everywhere, in four bands, the relative
#   average spectral error, 100 / mean * sqrt(mean of the bands' squared RMSE) (Ranchin and Wald 2000), is 10 per cent,
#   in any window.
# What happens: torchmetrics gives 640 with the default window of 8x8, 160 with 4x4, 2560 with 16x16. The local means
#   come from a filter that averages, and are divided by the number of pixels once more. sewar 0.4.6 does the same.
#   ERGAS, which needs the same means, has no window and is right.
# Why it matters: RASE is reported for super-resolution and pansharpening of satellite images beside ERGAS and SAM; values
#   of different window sizes, or those of papers, can't be compared with it.
# Instead: divide by window_size ** 2, or report ERGAS and SAM.
# Versions: torchmetrics 1.9.0, sewar 0.4.6, torch 2.15.0, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 torchmetrics==1.9.0 sewar==0.4.6 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import importlib.metadata
import sys
import warnings

import sewar
import torch
from torchmetrics.functional.image import (
    error_relative_global_dimensionless_synthesis as ergas,
    relative_average_spectral_error as rase,
)

warnings.simplefilter("ignore")
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchmetrics", "sewar")))
target = torch.full((1, 4, 64, 64), 0.5)
estimate = target + 0.05
noisy = target + 0.05 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))


def definition(estimate):
    return float(100 / target.mean() * (estimate - target).square().mean(dim=(0, 2, 3)).mean().sqrt())


def pixels(image):
    return image[0].permute(1, 2, 0).double().numpy()


as_found = True
print("window  torchmetrics  sewar     definition   (.55 for .5)      torchmetrics  definition   (noise)")
for window in (4, 8, 16):
    ours, theirs = float(rase(estimate, target, window)), float(sewar.rase(pixels(target), pixels(estimate), window))
    of_noise = float(rase(noisy, target, window))
    print(
        f"{window:6}{ours:14.1f}{theirs:9.1f}{definition(estimate):13.2f}{'':20}"
        f"{of_noise:14.1f}{definition(noisy):12.2f}"
    )
    as_found &= abs(ours / definition(estimate) / window**2 - 1) < 0.01
    as_found &= abs(theirs / definition(estimate) / window**2 - 1) < 0.01
    as_found &= abs(of_noise / definition(noisy) / window**2 - 1) < 0.05
print(f"ERGAS, ratio 4: {float(ergas(estimate, target, 4)):.3f}; by its definition {definition(estimate) / 4:.3f}")
as_found &= abs(float(ergas(estimate, target, 4)) - definition(estimate) / 4) < 1e-3
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
