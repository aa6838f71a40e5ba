#!/usr/bin/env bash
# torchmetrics' SSIM of a picture with itself is about 0.1, not 1, inside bf16 autocast.
#
# One would expect: float32 pictures given to a metric are compared in float32, also in a validation_step that
#   Lightning runs under precision="bf16-mixed"; at worst the third digit changes. (A report of 2022 about float16,
#   torchmetrics issue 1290, was closed as fixed to 1e-3.)
# What happens: SSIM's local means and variances are one conv2d. Autocast runs it in bfloat16 whatever the type of
#   the pictures, and E[x^2] - E[x]^2 is then mostly rounding error. The two variances are clipped at 0, the
#   covariance is not, so even equal pictures score low. float16 autocast is wrong too, by less. MS-SSIM and UQI go
#   the same way; PSNR, and kornia's SSIM, keep their values. Nothing warns.
# Why it matters: the curve of a bf16 run is not comparable to that of a fp32 run, to a table or to itself on other
#   content: flat and dark areas lose most. "Best checkpoint by SSIM" picks by noise.
# Instead: update the metric inside torch.autocast(device_type, enabled=False), with both pictures as .float().
# Versions: torchmetrics 1.9.0, torch 2.15.0, pytorch-lightning 2.6.6, scikit-image 0.26.0 (its
#   photograph), Python 3.11, on a CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 torchmetrics==1.9.0 pytorch-lightning==2.6.6 \
    scikit-image==0.26.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'PY'
import logging
import sys

import pytorch_lightning as pl
import skimage.data
import torch
import torchmetrics
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim
from torchmetrics.functional.image import structural_similarity_index_measure as ssim
from torchmetrics.image import StructuralSimilarityIndexMeasure

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
print("torch", torch.__version__, "torchmetrics", torchmetrics.__version__, "pytorch-lightning", pl.__version__)
hr = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255  # a photograph
sr = torch.nn.functional.avg_pool2d(hr, 3, 1, 1, count_include_pad=False)


def under(kind, a, b, metric=ssim):
    with torch.autocast("cpu", kind or torch.bfloat16, enabled=kind is not None):
        return metric(a, b, data_range=1.0).item()


print(f"{'':30}{'float32':>9}{'bfloat16':>9}{'float16':>9}  (autocast; the pictures are float32)")
seen = {}
for name, a, metric in (
    ("SSIM(picture, itself)", hr, ssim), ("SSIM(blurred, picture)", sr, ssim), ("MS-SSIM(picture, itself)", hr, ms_ssim)
):
    seen[name] = [under(kind, a, hr, metric) for kind in (None, torch.bfloat16, torch.float16)]
    print(f"{name:30}" + "".join(f"{value:9.4f}" for value in seen[name]))


class Same(pl.LightningModule):
    def __init__(self, guarded):
        super().__init__()
        self.guarded, self.metric = guarded, StructuralSimilarityIndexMeasure(data_range=1.0)

    def validation_step(self, batch, index):
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.is_autocast_enabled("cpu") and not self.guarded):
            self.metric.update(batch, batch)
        self.log("ssim", self.metric)


quiet = dict(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
logged = {}
for precision, guarded in (("32-true", False), ("bf16-mixed", False), ("bf16-mixed", True)):
    trainer = pl.Trainer(precision=precision, enable_checkpointing=False, **quiet)
    (result,) = trainer.validate(Same(guarded), torch.utils.data.DataLoader(hr), verbose=False)
    logged[precision, guarded] = result["ssim"]
    print(f"Lightning {precision:11} {'autocast off around update' if guarded else '':27} SSIM {result['ssim']:.4f}")
same = seen["SSIM(picture, itself)"]
as_found = same[0] > 0.9999 and same[1] < 0.5 and same[2] < 0.98
as_found &= logged["bf16-mixed", False] < 0.5 and logged["bf16-mixed", True] > 0.9999
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
