"""CONTRIBUTING.md's steps, followed in a copy of the project: one new generator, loss, dataset and metric."""

import json
import os
import shutil
import subprocess
import sys

from tests.conftest import ROOT, TINY_RUN

GENERATOR = '''
"""The smallest generator: one convolution and a pixel shuffle."""

from torch import nn

from sr_experiments.generators.generator import Generator


class Mine(Generator):
    """A convolution to scale^2 sub-pixels."""

    def __init__(self, scale: int = 4, channels: int = 3) -> None:
        super().__init__(scale, channels)
        self.net = nn.Sequential(nn.Conv2d(channels, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr):
        """(N, C, H, W) to (N, C, scale * H, scale * W)."""
        return self.net(lr)
'''
LOSS = '''
"""The largest error."""

from torch import nn


class MineLoss(nn.Module):
    """Mean over images of the largest absolute difference."""

    def forward(self, sr, hr):
        """(N, C, H, W) twice to a scalar."""
        return (sr - hr).abs().flatten(1).amax(1).mean()
'''
METRIC = '''
"""Mean absolute error."""

from sr_experiments.metrics.image_metric import ImageMetric


class MineMetric(ImageMetric):
    """Mean absolute error in 255ths."""

    higher_is_better = False
    digits = 3

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__(crop_border)
        self.convention = f"mean absolute error, 8-bit units, crop {crop_border}, mean over images"

    def per_image(self, sr, hr):
        """Measure each image: (N, C, H, W) twice to (N,)."""
        return 255 * (self.prepare(sr) - self.prepare(hr)).abs().flatten(1).mean(1)
'''
DATASET = '''
"""Random checkerboards."""

import numpy as np
from torch.utils.data import Dataset

from sr_experiments.data.images import as_tensor
from sr_experiments.data.training_crops import TrainingCrops


def board(i):
    """One image."""
    return np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)


class MineImages(TrainingCrops):
    """Crops of eight of them."""

    in_memory = True

    def __init__(self, crop: int, scale: int, channels: int = 3, seed: int = 0) -> None:
        super().__init__([f"board {i}" for i in range(8)], crop, scale, seed)

    def load(self, index: int):
        """Image `index`."""
        return {"hr": board(index)}


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

    def register(package_init, dictionary, line, imports):
        text = package_init.read_text()
        start = text.index("{", text.index(f"{dictionary}:"))
        package_init.write_text(imports + "\n" + text[: start + 1] + line + text[start + 1 :])

    (package / "generators/mine.py").write_text(GENERATOR)
    register(package / "generators/__init__.py", "GENERATORS", '"mine": Mine, ', "from .mine import Mine")
    (conf / "model/mine.yaml").write_text("name: mine\n")
    (package / "losses/mine.py").write_text(LOSS)
    register(package / "losses/__init__.py", "PIXEL_LOSSES", '"mine": MineLoss, ', "from .mine import MineLoss")
    (conf / "loss/pixel/mine.yaml").write_text("name: mine\nweight: 1.0\n")
    (package / "metrics/mine.py").write_text(METRIC)
    register(package / "metrics/__init__.py", "METRICS", '"mine": MineMetric, ', "from .mine import MineMetric")
    (conf / "metrics/mine.yaml").write_text("name: mine\n")
    (package / "data/mine.py").write_text(DATASET)
    imports = "from sr_experiments.data.mine import MineImages, MineValidation"
    register(package / "data/__init__.py", "SOURCES", '"mine": Source(MineImages, MineValidation), ', imports)
    (conf / "data/mine.yaml").write_text(
        "batch_size: 2\ncrop: 32\nnum_workers: 0\ntrain: {name: mine}\nval: {mine: {name: mine}}\n"
    )

    done = subprocess.run(
        [sys.executable, "train.py", "model=mine", "loss/pixel=mine", "data=mine", "+metrics@metrics.mine=mine",
         *TINY_RUN, f"output_dir={tmp_path / 'outputs'}"],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(next(tmp_path.glob("outputs/mine_pixel_x4/*/summary.json")).read_text())
    assert 0 < summary["final"]["val/mine/mine"] < 255
