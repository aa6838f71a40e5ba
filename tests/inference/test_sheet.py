"""Several checkpoints make one labelled sheet of an image, and a page with a slider."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sr_experiments.display.pictures import GAP, LABEL_HEIGHT
from sr_experiments.inference.sheet import Page
from tests.report.browser import CHROMIUM, browser, visit  # noqa: F401, fixtures

PLAIN = ["--device", "cpu", "--precision", "fp32", "--runtime", "torch"]


@pytest.fixture
def photograph(tmp_path):
    import skimage.data

    path = tmp_path / "in.png"
    Image.fromarray(skimage.data.chelsea()[100:130, 100:140]).save(path)
    return path


def tiles_of(path, count):
    sheet = np.array(Image.open(path).convert("RGB"))
    width = (sheet.shape[1] + GAP) // count - GAP
    return [sheet[LABEL_HEIGHT:, i * (width + GAP) : i * (width + GAP) + width] for i in range(count)]


def test_each_network_has_its_picture_beside_bicubic(sr, weights, photograph, tmp_path):
    first, second = weights("msrresnet", 2), weights("compact", 2, seed=1)
    done = sr("upscale", photograph, "-o", tmp_path / "sheet.png", "-c", first, "-c", second, "--html", *PLAIN)
    assert done.code == 0, done.err
    assert f"{tmp_path}/sheet.png: 248x80, {tmp_path}/sheet.html" in done.out
    tiles = tiles_of(tmp_path / "sheet.png", 3)
    for number, checkpoint in ((1, first), (2, second)):
        alone = sr("upscale", photograph, "-o", tmp_path / f"{number}.png", "-c", checkpoint, *PLAIN)
        assert alone.code == 0, alone.err
        np.testing.assert_array_equal(np.array(Image.open(tmp_path / f"{number}.png")), tiles[number])
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    (group,) = data["pictures"]
    assert [column["label"] for column in group["columns"]] == ["bicubic", first.stem, second.stem]
    for column, tile in zip(group["columns"], tiles, strict=True):
        content = base64.b64decode(data["media"][column["image"]].partition(",")[2])
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(content))), tile)


def test_networks_of_several_scales_are_compared_at_the_largest_or_at_the_size_asked_for(
    sr, weights, photograph, tmp_path
):
    both = ["-c", weights("msrresnet", 2), "-c", weights("msrresnet", 4)]
    (tmp_path / "in").mkdir()
    photograph.rename(tmp_path / "in" / "a.png")
    assert sr("upscale", tmp_path / "in", "-o", tmp_path / "out", *both, *PLAIN).code == 0
    assert [tile.shape for tile in tiles_of(tmp_path / "out" / "a.png", 3)] == [(120, 160, 3)] * 3
    arguments = (*both, *PLAIN, "--overwrite", "--longest", "90", "--html")
    assert sr("upscale", tmp_path / "in", "-o", tmp_path / "out", *arguments).code == 0
    assert [tile.shape for tile in tiles_of(tmp_path / "out" / "a.png", 3)] == [(68, 90, 3)] * 3
    assert (tmp_path / "out" / "index.html").is_file()


def test_sheets_are_of_images_and_never_replace_unasked(sr, weights, photograph, tmp_path):
    both = ["-c", weights("msrresnet", 2), "-c", weights("msrresnet", 2, seed=1)]
    (tmp_path / "film.mp4").write_bytes(b"not looked at")
    done = sr("upscale", tmp_path / "film.mp4", "-o", tmp_path / "out.mp4", *both, *PLAIN)
    assert done.code == 2 and "make sheets of images, and" in done.err and "film.mp4 is a video" in done.err
    (tmp_path / "sheet.html").write_text("mine")
    done = sr("upscale", photograph, "-o", tmp_path / "sheet.png", *both, "--html", *PLAIN)
    assert done.code == 2 and "sheet.html exists: give --overwrite" in done.err
    assert not (tmp_path / "sheet.png").exists() and (tmp_path / "sheet.html").read_text() == "mine"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium in PATH, and Playwright (uv sync)")
def test_the_page_has_a_slider_between_any_two_pictures(visit, tmp_path):  # noqa: F811
    pixels = np.zeros((20, 30, 3), np.uint8)
    page = Page(tmp_path / "page.html")
    page.add("a.png", {"bicubic": pixels, "A": pixels + 9, "<b>B</b>": pixels + 20})
    page.write()
    seen = visit(tmp_path / "page.html", ready="#pictures .pair")
    assert seen.locator("#pictures figcaption").all_inner_texts() == ["bicubic", "A", "<b>B</b>"]
    assert seen.locator(".pair .tag").all_inner_texts() == ["bicubic", "<b>B</b>"]
    seen.get_by_label("right").select_option("1")
    assert seen.locator(".pair .tag").all_inner_texts() == ["bicubic", "A"]
    assert seen.get_by_text("error maps").is_hidden()
