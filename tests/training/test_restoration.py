"""Training at scale 1: denoising and deblurring, beside the input as it is."""

import csv
import json

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sr_experiments.display.pictures import GAP, LABEL_HEIGHT
from tests.conftest import TINY_MODEL

BLURRED = [*TINY_MODEL["unet"], "scale=1", "degradation=blur_down"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folders of sharp photographs and of noisy ones."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(4):
        sharp = skimage.data.astronaut()[64 * number :, 100:][:64, :80]
        noise = np.random.default_rng(number).normal(0, 20, sharp.shape)
        for kind, image in (("hr", sharp), ("lr", (sharp + noise).round().clip(0, 255).astype(np.uint8))):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(image).save(folder / kind / f"{number}.png")
    return folder


def test_a_run_is_measured_beside_its_input_uncropped(train, capsys):
    folder = train(*BLURRED, "callbacks.samples.size=48")
    said = capsys.readouterr().err
    summary = json.loads((folder / "summary.json").read_text())
    assert 15 < summary["final"]["val/sample/psnr_y_input"] < 40
    with (folder / "metrics.csv").open() as file:
        assert not [row["metric"] for row in csv.DictReader(file) if "bicubic" in row["metric"]]
    assert "crop 0" in summary["conventions"]["psnr_y"] and "(input " in said and "bicubic" not in said
    [*_, strip] = sorted((folder / "samples/step_00000004").glob("*.png"))
    pixels = np.asarray(Image.open(strip))
    assert pixels.shape == (48 + LABEL_HEIGHT, 3 * (48 + GAP) - GAP, 3)  # input, sr, hr
    blurred, restored, sharp = (pixels[LABEL_HEIGHT:, i * (48 + GAP) :][:, :48].astype(int) for i in range(3))
    assert np.abs(restored - blurred).mean() < 5 < np.abs(sharp - blurred).mean()  # it begins as the input


@pytest.mark.parametrize("network", [TINY_MODEL["unet"], TINY_MODEL["rrdbnet"], ["model=compact", "model.features=8"]])
def test_pairs_of_one_size_need_no_degradation(train, photographs, network):
    folder = train(
        *network, "scale=1", "data=paired", f"data.train.hr={photographs}/hr", f"data.train.lr={photographs}/lr",
        "~data.val.sample", f"+data.val.mine.hr={photographs}/hr", f"+data.val.mine.lr={photographs}/lr",
        "trainer.max_steps=2",
    )  # fmt: skip
    noise = json.loads((folder / "summary.json").read_text())["final"]["val/mine/psnr_rgb_input"]
    assert noise == pytest.approx(22.1, abs=0.5)  # of a standard deviation of 20 levels


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "error: data.train has no LR of its own, and at scale=1 bicubic makes LR that is HR: "
             "set degradation=real_esrgan, classical or blur_down"),
        (["data=paired", "data.train.hr={folder}/hr", "data.train.lr={folder}/lr"], "data.val.sample has no LR"),
    ],
)  # fmt: skip
def test_lr_that_is_hr_is_refused(train, capsys, photographs, overrides, says):
    with pytest.raises(SystemExit):
        train(*TINY_MODEL["unet"], "scale=1", *(words.format(folder=photographs) for words in overrides))
    [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert says in line


@pytest.mark.parametrize("degradation", ["real_esrgan", "classical"])
def test_noisy_lr_has_the_size_of_hr(train, degradation):
    folder = train(*TINY_MODEL["unet"], "scale=1", f"degradation={degradation}", "++degradation.pool=0",
                   "trainer.max_steps=2")  # fmt: skip
    assert json.loads((folder / "summary.json").read_text())["final"]["val/sample/psnr_y_input"] < 35
