"""CONTRIBUTING.md's steps, followed in a copy: one new generator, loss, dataset, metric and degradation."""

import json
import os
import shutil
import subprocess
import sys

from tests.conftest import ROOT, TINY_RUN

GENERATOR = '''
"""The smallest generator: one convolution and a pixel shuffle."""

from torch import nn

from sr_experiments.generators import GENERATORS


@GENERATORS.register("mine")
class Mine(nn.Module):
    """A convolution to scale^2 sub-pixels."""

    def __init__(self, scale: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.net = nn.Sequential(nn.Conv2d(channels, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr):
        """(N, C, H, W) to (N, C, scale * H, scale * W)."""
        return self.net(lr)
'''
LOSS = '''
"""The largest error."""

from torch import nn

from sr_experiments.losses import LOSSES


@LOSSES.register("mine")
class MineLoss(nn.Module):
    """Mean over images of the largest absolute difference."""

    def forward(self, sr, hr):
        """(N, C, H, W) twice to a scalar."""
        return (sr - hr).abs().flatten(1).amax(1).mean()
'''
METRIC = '''
"""Mean absolute error."""

import torch
from torchmetrics import Metric

from sr_experiments.metrics import METRICS


@METRICS.register("mine")
class MineMetric(Metric):
    """Mean absolute error in 255ths."""

    higher_is_better = False
    full_state_update = False

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__()
        self.convention = "mean absolute error, 8-bit units, whole image"
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def per_image(self, sr, hr):
        """(N, C, H, W) twice to (N,)."""
        return 255 * (sr - hr).abs().flatten(1).mean(1)

    def update(self, sr, hr):
        """Take a batch in."""
        self.total += self.per_image(sr, hr).double().sum()
        self.count += sr.shape[0]

    def compute(self):
        """The mean over images."""
        return self.total / self.count
'''
DATASET = '''
"""Random checkerboards."""

import numpy as np
from torch.utils.data import Dataset

from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.images import as_tensor
from sr_experiments.data.training_crops import TrainingCrops


def board(i):
    """One image."""
    return np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)


@TRAINING_SETS.register("mine")
class MineImages(TrainingCrops):
    """Crops of eight of them."""

    in_memory = True

    def __init__(self, crop: int, scale: int, channels: int = 3, seed: int = 0) -> None:
        super().__init__([f"board {i}" for i in range(8)], crop, scale, seed)

    def load(self, index: int):
        """Image `index`."""
        return {"hr": board(index)}


@VALIDATION_SETS.register("mine")
class MineValidation(Dataset):
    """Two others."""

    def __init__(self, scale: int, channels: int = 3) -> None:
        super().__init__()

    def __len__(self):
        return 2

    def __getitem__(self, index: int):
        return {"hr": as_tensor(board(100 + index)), "name": f"board {index}"}
'''


def test_its_steps_work(tmp_path):
    copy = tmp_path / "project"
    copy.mkdir()
    for name in ("sr_experiments", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", copy)
    package, conf = copy / "sr_experiments", copy / "conf"

    (package / "generators/mine.py").write_text(GENERATOR)
    (conf / "model/mine.yaml").write_text("name: mine\n")
    (package / "losses/mine.py").write_text(LOSS)
    (conf / "loss/pixel/mine.yaml").write_text("name: mine\nweight: 1.0\n")
    (package / "metrics/mine.py").write_text(METRIC)
    (conf / "metrics/mine.yaml").write_text("name: mine\n")
    (package / "data/mine.py").write_text(DATASET)
    (conf / "degradation/mine.yaml").write_text("name: mine\nstages: [{name: jpeg, quality: [60, 90]}]\n")
    (conf / "data/mine.yaml").write_text(
        "batch_size: 2\ncrop: 32\nnum_workers: 0\ntrain: {name: mine}\nval: {mine: {name: mine}}\n"
    )

    done = subprocess.run(
        [sys.executable, "train.py", "model=mine", "loss/pixel=mine", "data=mine", "degradation=mine",
         "+metrics@metrics.mine=mine",
         *TINY_RUN, f"output_dir={tmp_path / 'outputs'}"],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(next(tmp_path.glob("outputs/mine_pixel_x4/*/summary.json")).read_text())
    assert 0 < summary["final"]["val/mine/mine"] < 255
