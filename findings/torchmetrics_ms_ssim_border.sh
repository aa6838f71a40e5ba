#!/usr/bin/env bash
# torchmetrics' MS-SSIM leaves the borders out at the fine scales and counts them, mirrored, at the coarsest one.
#
# One would expect: MS-SSIM by its definition (Wang et al. 2003): at every scale the mean over the windows that lie inside
#   the picture. pytorch-msssim and TensorFlow compute it so. With one scale it is SSIM, as scikit-image computes it.
# What happens: the contrast terms of the fine scales are means over the inside, as defined; the last scale's SSIM is a
#   mean over the whole picture, whose border has windows with mirrored pixels. The coarser the last scale, the larger
#   the border's share: three scales of a 176x176 picture have 44x44 such values at the last one, 34x34 of them of whole
#   windows. A picture that is blurred inside and exact at the border has 1 - MS-SSIM .89 times what it should be, with
#   one scale and with three; with five there is almost no difference in this picture.
# Why it matters: a loss or metric called MS-SSIM has other values and gradients than the paper's, the more the smaller
#   the crop: training crops are small. Numbers of different tools can't be compared.
# Also: sizes below (11 - 1) * (scales - 1)^2 + 1 are refused, where the definition needs 11 * 2^(scales - 1).
# Versions: torchmetrics 1.9.0, pytorch-msssim 1.0.0, torch 2.15.0, scikit-image 0.26.0, numpy 2.4.6, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 torchmetrics==1.9.0 pytorch-msssim==1.0.0 \
  scikit-image==0.26.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys

import numpy as np
import skimage.data
import torch
from pytorch_msssim import ms_ssim
from skimage.filters import gaussian
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
hr = skimage.data.chelsea()[40:216, 100:276].astype(np.float64) / 255
blurred = gaussian(hr, 3, channel_axis=2)
inside = np.zeros((176, 176, 1))
inside[28:148, 28:148] = 1
sr = np.where(inside, blurred, hr)  # blurred, but for the border
x, y = (torch.from_numpy(image.transpose(2, 0, 1)[None].copy()) for image in (sr, hr))
found = {}
for scales in (1, 3, 5):
    weights = [weight / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales]]
    theirs = multiscale_structural_similarity_index_measure(x, y, data_range=1.0, betas=tuple(weights)).item()
    defined = ms_ssim(x, y, data_range=1.0, weights=weights).item()
    found[scales] = theirs, defined
    ratio = (1 - theirs) / (1 - defined)
    print(f"{scales} scales: torchmetrics {theirs:.4f}, pytorch-msssim {defined:.4f}; 1 - MS-SSIM is {ratio:.2f} times")
skimage_ssim = structural_similarity(sr, hr, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5,
                                     use_sample_covariance=False)
print(f"SSIM by scikit-image: {skimage_ssim:.4f}")
ratios = {scales: (1 - theirs) / (1 - defined) for scales, (theirs, defined) in found.items()}
as_found = abs(found[1][1] - skimage_ssim) < 1e-4 and all(abs(ratios[scales] - 0.89) < 0.01 for scales in (1, 3))
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
