"""Training on images of more than 8 bits and of more bands than RGB, and what follows from such a run."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from sr_experiments.display.pictures import LABEL_HEIGHT, as_picture
from tests.conftest import TINY_GAN
from tests.same_runs import assert_same_run

BANDS = 5


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Smooth 16-bit TIFF of five bands, the last of which is white."""
    for number in range(4):
        rng = np.random.default_rng(number)
        coarse = torch.from_numpy(rng.uniform(0, 1, (1, BANDS, 13, 14)))
        image = torch.nn.functional.interpolate(coarse, (80, 88), mode="bilinear")[0].permute(1, 2, 0).numpy()
        image[..., -1] = 1
        path = tmp_path / "bands" / f"{number}.tif"
        path.parent.mkdir(exist_ok=True)
        levels = (image * 65535).round().astype(np.uint16)
        tifffile.imwrite(path, levels, photometric="minisblack", planarconfig="contig")
    return tmp_path / "bands"


def settings(data: Path, *others: str) -> list[str]:
    return ["data=images", f"data.train.root={data}", "data.bits=16", "~data.val.sample", f"channels={BANDS}",
            "data.num_workers=0", "optim/schedule=constant", *others]  # fmt: skip


@pytest.mark.slow
def test_a_gan_of_16_bit_bands_with_a_pool_resumes_to_the_bit_and_is_used(train, sr, data, tmp_path):
    run = settings(
        data, "metrics=bands", "+data.show_bands=[5,1,2]", "degradation=classical", "+degradation.pool=4",
        "+augment=cutmix", *TINY_GAN[:2], "~loss.terms.perceptual", "loss.terms.adversarial.start=1",
        "loss.terms.adversarial.ramp=1", "loss/discriminator=patch",
    )  # fmt: skip
    whole = train(*run, "trainer.max_steps=4", name="whole")
    stopped = train(*run, "trainer.max_steps=2", name="stopped")
    train(f"resume={stopped}", "trainer.max_steps=4")
    assert_same_run(whole, stopped)
    state = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["pool.hr"].shape == (4, BANDS, 32, 32) and state["pool.hr"].dtype == torch.int16
    assert {key.split("/")[2] for key in json.loads((whole / "summary.json").read_text())["final"]} >= {"sam"}
    strip = np.asarray(Image.open(next((whole / "samples").glob("step_*/*.png"))).convert("RGB"))
    shown = strip[LABEL_HEIGHT + 8, -8]  # of HR, the last tile: red is the white band
    assert shown[0] == 255 and min(shown[1:]) < 255

    measured = sr("evaluate", "--hr", data, "-c", whole, "--limit", 2, "--device", "cpu", "--json", tmp_path / "r.json",
                  "--save", tmp_path / "saved")  # fmt: skip
    assert measured.code == 0, measured.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert list(report["results"][1]["mean"]) == ["psnr_bands", "psnr_bandwise", "ssim_bands", "sam"]
    assert report["conventions"]["hr"].startswith("16-bit") and "16-bit" in report["conventions"]["sam"]
    for options in ((), ("--tile", "96")):
        out = tmp_path / f"large{len(options)}.tif"
        done = sr("upscale", data / "0.tif", "-o", out, "-c", whole, "--device", "cpu", "--precision", "fp32", *options)
        assert done.code == 0, done.err
    whole_image, tiled = (tifffile.imread(tmp_path / f"large{i}.tif") for i in (0, 2))
    assert whole_image.shape == (320, 352, BANDS) and whole_image.dtype == np.uint16
    assert np.abs(whole_image.astype(int) - tiled).max() <= 1
    refused = sr("upscale", data / "0.tif", "-o", tmp_path / "large.png", "-c", whole)
    assert refused.code and "it has 5 bands, which only TIFF and EXR hold: give it the extension .tif" in refused.err
    Image.new("RGB", (32, 32)).save(tmp_path / "rgb.png")
    refused = sr("upscale", tmp_path / "rgb.png", "-o", tmp_path / "large.tif", "-c", whole)
    said = "rgb.png has 3 bands, and the network takes 5: use one of channels=3, or give images of 5"
    assert refused.code and said in refused.err


@pytest.mark.slow
@pytest.mark.parametrize("bits", [16, "float"])
def test_depths_with_workers_and_a_cache_resume_to_the_bit(train, data, tmp_path, bits):
    run = [
        *settings(data, "metrics=bands"),
        f"data.bits={bits}",
        f"data.cache={tmp_path / 'cache'}",
        "data.num_workers=2",
    ]
    whole = train(*run, "trainer.max_steps=4", name="whole")
    stopped = train(*run, "trainer.max_steps=2", name="stopped")
    train(f"resume={stopped}", "trainer.max_steps=4")
    assert_same_run(whole, stopped)


@pytest.mark.slow
def test_a_network_of_bands_in_onnx_with_a_card(sr, weights, tmp_path):
    card = ("--card", "--author", "x", "--license", "MIT")
    done = sr("export", weights(channels=BANDS), "-o", tmp_path / "bands.onnx", *card)
    assert done.code == 0, done.err
    assert "Images have 5 bands" in (tmp_path / "bands.md").read_text() and not list(tmp_path.glob("bands*.png"))


def test_what_does_not_go_with_bands_is_refused_in_one_line(train, data, capsys):
    for overrides, said in (
        (settings(data), "these metrics are of grey and RGB images, and channels=5: set metrics=bands"),
        (settings(data, *TINY_GAN), "loss.terms.perceptual is of grey and RGB images, and channels=5"),
        (settings(data, "metrics=bands", "+augment=rgb"), "images of 5 bands have no colours to permute"),
        (settings(data, "degradation=real_esrgan"), "JPEG compresses grey and RGB images, and channels=5"),
        (settings(data, "+data.show_bands=[1,2,6]"), "there are 5 bands, numbered from 1"),
        (["channels=5"], "channels=5 needs images that have it, and data=sample has none: use images, paired or mixed"),
        (["+data.bits=16"], "data.bits=16 needs images that have it, and data=sample has none"),
        (["channels=33"], "channels is 33: give a whole number of at least 1 and at most 32"),
    ):
        with pytest.raises(SystemExit):
            train(*overrides)
        assert said in capsys.readouterr().err, overrides


def test_pictures_show_the_chosen_bands():
    tile = torch.linspace(0, 1, BANDS).view(1, BANDS, 1, 1).expand(-1, -1, 4, 4)
    assert as_picture(tile, (4, 0, 2)).getpixel((0, 0)) == (255, 0, 128)
    assert as_picture(tile).getpixel((0, 0)) == (0, 64, 128)
