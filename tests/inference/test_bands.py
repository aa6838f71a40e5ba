"""Images of bands for networks of as many bands or of others."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from sr_experiments.data.image_files import UnreadableImage, say_pages
from sr_experiments.inference.images import read_picture


@pytest.fixture
def bands(tmp_path):
    """Five bands in bands.tif, and as pages in pages.tif."""
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 24, 5), np.uint16)
    tifffile.imwrite(tmp_path / "bands.tif", pixels, photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(tmp_path / "pages.tif", np.moveaxis(pixels, 2, 0), photometric="minisblack")
    Image.new("RGB", (24, 20)).save(tmp_path / "rgb.png")
    return pixels


def test_other_numbers_are_one_line_that_names_both_and_the_fix(bands, tmp_path):
    for name, channels, said in (
        ("bands.tif", 3, "has 5 bands, and the network takes 3: use one of channels=5, or convert the image to RGB"),
        ("bands.tif", 1, "has 5 bands, and the network takes 1: use one of channels=5, or convert the image to grey"),
        ("bands.tif", 8, "has 5 bands, and the network takes 8: use one of channels=5, or give images of 8"),
        ("pages.tif", 8, "has 5 bands, and the network takes 8: use one of channels=5, or give images of 8"),
        ("rgb.png", 8, "has 3 bands, and the network takes 8: use one of channels=3, or give images of 8"),
        (
            "pages.tif",
            3,
            "has 5 pages, and the network takes 3: if they are bands, use one of channels=5, or split the pages into "
            "files",
        ),
    ):
        with pytest.raises(UnreadableImage) as error:
            read_picture(tmp_path / name, channels)
        assert str(error.value) == f"{tmp_path / name} {said}"


def test_three_pages_or_layers_are_not_RGB(tmp_path, caplog):
    tifffile.imwrite(tmp_path / "three.tif", np.zeros((3, 20, 24), np.uint8), photometric="minisblack")
    said = "three.tif has 3 pages, and the network takes RGB: if they are red, green and blue, write them as one page"
    with pytest.raises(UnreadableImage, match=said):
        read_picture(tmp_path / "three.tif")
    say_pages({tmp_path / "three.tif": 3}, "set channels=")
    assert "if they are red, green and blue, write them as one page" in caplog.text and "channels=3" not in caplog.text
    OpenEXR = pytest.importorskip("OpenEXR")
    layer = {f"beauty.{name}": np.full((20, 24), 0.5, np.float32) for name in "RGB"}
    OpenEXR.File({}, layer).write(str(tmp_path / "layer.exr"))
    with pytest.raises(UnreadableImage, match=r"its channels are beauty.B, beauty.G, beauty.R, and not R, G, B or Y"):
        read_picture(tmp_path / "layer.exr")


def test_evaluation_and_previews_say_that_they_read_one_page_of_several(sr, bands, tmp_path):
    for folder in ("hr", "sr"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "pages.tif", np.moveaxis(bands, 2, 0), photometric="minisblack")
    said = "has 5 pages, and only the first is read: if they are bands, write them as the samples of one page, all 5"
    done = sr("evaluate", "--hr", tmp_path / "hr", "--sr", tmp_path / "sr", "--scale", 2)
    assert done.code == 0 and said in done.err, done.err
    done = sr("degrade", tmp_path / "pages.tif", "-o", tmp_path / "preview.png", "--crop", 16, "--scale", 2)
    assert done.code == 0 and said in done.err, done.err


def test_pages_of_several_depths_are_no_bands(tmp_path):
    for name, kinds in (("deep_first", (np.uint16, np.uint8)), ("deep_last", (np.uint8, np.uint16))):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as tiff:
            for kind in kinds:
                tiff.write(np.full((20, 24), np.iinfo(kind).max, kind), photometric="minisblack", metadata=None)
        with pytest.raises(UnreadableImage, match="its pages differ in depth; convert it to 8 or 16 bits per channel"):
            read_picture(tmp_path / f"{name}.tif", 2)


def test_a_format_without_bands_is_refused_before_any_work(sr, weights, bands, tmp_path):
    network, folder = weights(channels=5), tmp_path / "scenes"
    folder.mkdir()
    (tmp_path / "bands.tif").rename(folder / "bands.tif")
    (tmp_path / "rgb.png").rename(folder / "a.png")  # read first, and of other bands
    done = sr("upscale", folder, "-o", tmp_path / "large", "-c", network, "--format", "png")
    assert done.code == 2 and "5 bands, which only TIFF and EXR hold: give it the extension .tif, or" in done.err
    assert "can't read" not in done.err and "the network takes" not in done.err
    done = sr("upscale", folder, "-o", tmp_path / "large", "-c", network, "--format", "tif")
    assert done.code == 1 and [file.name for file in (tmp_path / "large").iterdir()] == ["bands.tif"]


def test_tune_shows_pages_of_bands(sr, weights, bands, tmp_path):
    done = sr("tune", tmp_path / "pages.tif", "-o", tmp_path / "pages.png", "-c", weights(channels=5))
    assert done.code == 0, done.err
    done = sr("tune", tmp_path / "bands.tif", "-o", tmp_path / "x.png", "-c", weights())
    assert done.code == 2 and "bands.tif has 5 bands, and the network takes 3" in done.err


def test_bands_in_EXR_keep_their_names(sr, weights, tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    planes = {name: np.full((20, 24), 0.5, np.float32) for name in ("blue", "green", "nir", "red", "swir")}
    OpenEXR.File({}, planes).write(str(tmp_path / "in.exr"))
    for target in ("out.exr", "out.tif"):
        done = sr("upscale", tmp_path / "in.exr", "-o", tmp_path / target, "-c", weights(channels=5))
        assert done.code == 0, done.err
    assert list(OpenEXR.File(str(tmp_path / "out.exr"), separate_channels=True).channels()) == list(planes)
    assert tifffile.imread(tmp_path / "out.tif").shape == (40, 48, 5)
    assert sr("upscale", tmp_path / "out.tif", "-o", tmp_path / "new.exr", "-c", weights(channels=5)).code == 0
    assert "B01" in OpenEXR.File(str(tmp_path / "new.exr"), separate_channels=True).channels()
