"""Sizes that are remembered are those that the files have now."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sr_experiments.data import image_files, size_index
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.packs.folders import open_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(size_index, "CACHED_FROM", 10)
    for i in range(12):
        place = tmp_path / "images" / f"sub{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + i, 30)).save(place / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose headers are read."""
    names, image_size = [], image_files.image_size

    def noted(path):
        names.append(Path(path).name)
        return image_size(path)

    monkeypatch.setattr(image_files, "image_size", noted)
    return names


def sizes(folder: Path) -> dict:
    files = open_folder(folder)
    paths = files.images()
    return {path.name: size for path, size in zip(paths, files.sizes(paths), strict=True)}


def test_headers_are_read_once_and_again_of_what_changed(folder, opened):
    first = sizes(folder)
    assert first == {f"{i}.png": (30, 20 + i) for i in range(12)} and sorted(opened) == sorted(first)
    opened.clear()
    assert sizes(folder) == first and not opened
    Image.new("RGB", (64, 48)).save(folder / "sub1/3.png")
    (folder / "sub0/4.png").write_text("no image any more")
    (folder / "sub0/6.png").unlink()
    Image.new("RGB", (7, 9)).save(folder / "new.png")
    again = sizes(folder)
    assert sorted(opened) == ["3.png", "4.png", "new.png"]
    assert again["3.png"] == (48, 64) and again["new.png"] == (9, 7) and "6.png" not in again
    assert isinstance(again["4.png"], UnreadableImage)
    assert again["5.png"] == first["5.png"]
    opened.clear()
    assert isinstance(sizes(folder)["4.png"], UnreadableImage) and opened == ["4.png"]  # perhaps it is whole by now


@pytest.mark.parametrize("damage", [b"", b"[1, 2]", b'{"sub0/0.png": 3}', b"\xff\xfe", b'{"sub0/0.png": [1, 2, 3'])
def test_a_damaged_index_is_made_anew(folder, opened, damage):
    first = sizes(folder)
    (index,) = (folder.parent / "cache" / "sizes").glob("*.json")
    index.write_bytes(damage)
    assert sizes(folder) == first
    opened.clear()
    assert sizes(folder) == first and not opened


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc").is_dir(), reason="needs a folder that nobody can write to")
def test_nothing_is_remembered_where_nothing_can_be_written(folder, opened, monkeypatch):
    monkeypatch.setenv("SR_CACHE", "/proc/nowhere")
    assert sizes(folder) == sizes(folder)
    assert len(opened) == 24


def test_another_folder_has_its_own(folder, opened):
    sizes(folder)
    shutil.copytree(folder, folder.parent / "other")
    Image.new("RGB", (5, 6)).save(folder.parent / "other/sub0/0.png")
    assert sizes(folder.parent / "other")["0.png"] == (6, 5) and sizes(folder)["0.png"] == (30, 20)
