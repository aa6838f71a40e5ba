"""`sr degrade`: a picture of what a degradation does."""

import numpy as np
import pytest
import skimage.data
import tifffile
import typer
from PIL import Image
from typer.testing import CliRunner

from sr_experiments.commands.degrade import degrade
from sr_experiments.data.preview import load_config
from sr_experiments.errors import SRError


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "in.png"
    Image.fromarray(skimage.data.astronaut()[:120, 150:290]).save(path)
    return path


def run(*arguments):
    app = typer.Typer()
    app.command()(degrade)
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("name", ["real_esrgan", "classical", "video", "bicubic"])
def test_the_sheet_shows_hr_and_lr_and_is_the_same_again(photograph, tmp_path, name):
    sheets = []
    for i in range(2):
        out = tmp_path / f"{i}.png"
        done = run(photograph, "-o", out, "--config", name, "--count", 3, "--crop", 64)
        assert done.exit_code == 0, done.output
        assert str(out) in done.output
        sheets.append(np.array(Image.open(out)))
    assert np.array_equal(sheets[0], sheets[1])
    assert sheets[0].shape[1] == 2 * 64 + 4
    other = run(photograph, "-o", tmp_path / "2.png", "--config", name, "--count", 3, "--crop", 64, "--seed", 1)
    assert other.exit_code == 0
    assert np.array_equal(np.array(Image.open(tmp_path / "2.png")), sheets[0]) == (name == "bicubic")


def test_deep_images_and_bands_are_degraded_as_they_are(tmp_path):
    bands = np.linspace(0, 65535, 96 * 96 * 5).astype(np.uint16).reshape(96, 96, 5)
    tifffile.imwrite(tmp_path / "in.tif", bands, photometric="minisblack", planarconfig="contig")
    done = run(tmp_path / "in.tif", "-o", tmp_path / "out.png", "--config", "classical", "--count", 1, "--crop", 64)
    assert done.exit_code == 0, done.output
    hr = np.asarray(Image.open(tmp_path / "out.png"))[-64:, :64]
    assert np.abs(hr - bands[16:80, 16:80, :3] / 257).max() < 0.51
    refused = run(tmp_path / "in.tif", "-o", tmp_path / "out.png", "--config", "real_esrgan")
    assert "JPEG compresses grey and RGB images, and channels=5" in str(refused.exception)


def test_overrides_reach_the_steps(photograph, tmp_path):
    config = load_config("real_esrgan", ["usm=false", "stages.3.quality=[10, 11]", "stages.0.sigma=[1, 2]"])
    assert config["usm"] is False
    assert config["stages"][3]["quality"] == [10, 11] and config["stages"][0]["sigma"] == [1, 2]
    file = tmp_path / "mine.yaml"
    file.write_text("name: classical\nstages: [{name: jpeg, quality: [10, 10]}]\n")
    done = run(photograph, "-o", tmp_path / "a.png", "stages.0.quality=[90, 90]", "--config", file, "--count", 1)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config", "nonsense"], "choose one of bicubic, blur_down, classical"),
        (["--config", "missing.yaml"], "can't read missing.yaml"),
        (["--scale", "1", "--config", "bicubic"], "at scale=1 bicubic makes LR that is HR: give --config real_esrgan"),
        (["usm"], "key=value"),
        (["stages.30.quality=[1, 2]"], "numbered from 0"),
        (["stages.3.qualitty=[1, 2]"], "did you mean quality"),
        (["--scale", "16", "--crop", "16", "stages=[]"], "give a list of mappings, not empty"),
    ],
)
def test_mistakes_get_one_line(photograph, tmp_path, arguments, says):
    done = run(photograph, "-o", tmp_path / "out.png", *arguments)
    assert isinstance(done.exception, SRError) and says in str(done.exception)
    assert not (tmp_path / "out.png").exists()


def test_only_pictures_are_written_and_only_pictures_read(photograph, tmp_path):
    assert "extension of an image" in str(run(photograph, "-o", tmp_path / "out.txt").exception)
    assert isinstance(run(tmp_path / "none.png", "-o", tmp_path / "out.png").exception, SRError)
    assert isinstance(run(photograph, "-o", tmp_path / "no" / "where" / "out.png").exception, SRError)
