import logging
import threading
import time
from pathlib import Path

import pytest
import torch

from sr_experiments.data.images import ImageFolder
from sr_experiments.data.module import SRDataModule
from sr_experiments.data.packs import decoding, packing
from sr_experiments.data.packs.folders import PackFolder, open_folder
from sr_experiments.data.packs.pack import INDEX
from sr_experiments.errors import SRError
from sr_experiments.files.cache import cache_folder


@pytest.fixture
def photos(tmp_path: Path, save_image) -> Path:
    for i in range(5):
        save_image(tmp_path / "photos" / f"{i}.png", seed=i)
    (tmp_path / "photos" / "long.mp4").write_text("not looked at by images")
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded."""
    names: list[str] = []
    original = decoding.decode
    monkeypatch.setattr(packing, "worker_count", lambda wanted, in_memory: 0)
    monkeypatch.setattr(decoding, "decode", lambda task: (names.append(task.source.name), original(task))[1])
    return names


def module(root: Path, cache: bool | str) -> SRDataModule:
    sets = {"five": {"root": str(root)}}
    return SRDataModule({"name": "images", "root": str(root)}, sets, crop=16, scale=2, cache=cache, num_workers=0)


def test_a_run_with_cache_has_the_data_of_one_without(photos: Path, tmp_path: Path, monkeypatch, decoded) -> None:
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "cache"))
    plain, with_cache = module(photos, False), module(photos, True)
    assert isinstance(with_cache.train_set.folder, PackFolder)
    assert isinstance(with_cache.val_sets["five"].folder, PackFolder)
    assert with_cache.train_set.paths == plain.train_set.paths
    for n in range(40):
        assert torch.equal(plain.train_set[n]["hr"], with_cache.train_set[n]["hr"])
    for one, other in zip(plain.val_sets["five"], with_cache.val_sets["five"], strict=True):
        assert one["name"] == other["name"] and torch.equal(one["hr"], other["hr"])
    assert len(decoded) == 5  # for training and validation together


def test_a_pack_is_used_until_the_folder_changes(photos: Path, tmp_path: Path, decoded, caplog, save_image) -> None:
    caplog.set_level(logging.INFO)
    cache = str(tmp_path / "cache")
    module(photos, cache)
    assert "5 files of" in caplog.text and "unpack to 28.8 kB" in caplog.text
    module(photos, cache)
    assert len(decoded) == 5
    save_image(photos / "2.png", seed=30)
    data = module(photos, cache)
    assert len(decoded) == 10 and "has changed since it was packed: packing it again" in caplog.text
    plain = ImageFolder(str(photos), 16, 2)
    assert all(torch.equal(plain[n]["hr"], data.train_set[n]["hr"]) for n in range(20))
    save_image(photos / "5.png", seed=31)
    assert len(module(photos, cache).train_set.paths) == 6
    assert len(list((tmp_path / "cache").glob("*/pixels*"))) == 1  # no pixels of earlier are left


def test_a_damaged_pack_is_made_again(photos: Path, tmp_path: Path, decoded, caplog) -> None:
    pixels = open_folder(photos, tmp_path / "cache").pack.pixels_path
    pixels.write_bytes(pixels.read_bytes()[:-1])
    assert list(open_folder(photos, tmp_path / "cache").pack.damaged()) == []
    assert len(decoded) == 10 and "packing again" in caplog.text and "damaged or cut off" in caplog.text


def test_of_two_that_want_the_same_one_packs(photos: Path, tmp_path: Path, decoded, monkeypatch, caplog) -> None:
    caplog.set_level(logging.INFO)
    decode = decoding.decode

    def slow(task):
        give_up = time.monotonic() + 30
        while "another process is packing" not in caplog.text and time.monotonic() < give_up:
            time.sleep(0.01)
        return decode(task)

    monkeypatch.setattr(decoding, "decode", slow)
    found = []
    runs = [threading.Thread(target=lambda: found.append(open_folder(photos, tmp_path / "cache"))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(decoded) == 5 and len(found) == 2
    assert "another process is packing" in caplog.text


def test_unreadable_images_are_skipped_where_training_skips_them(photos: Path, tmp_path: Path, truncate) -> None:
    truncate(photos / "3.png")
    arguments = {"crop": 16, "scale": 2, "cache": str(tmp_path / "cache")}
    with pytest.raises(SRError, match=r"3\.png.*on_error=skip"):
        ImageFolder(str(photos), **arguments)
    data = ImageFolder(str(photos), **arguments, on_error="skip")
    assert {int(data[n]["skipped"]) for n in range(10)} == {-1, 3}


def test_the_place_is_true_false_or_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SR_CACHE", "/big/disk")
    assert cache_folder(True) == Path("/big/disk") and cache_folder("packs") == Path("packs")
    monkeypatch.delenv("SR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/other/disk")
    assert cache_folder(True) == Path("/other/disk/sr_experiments")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(True) == Path.home() / ".cache" / "sr_experiments"


def test_a_cache_that_cannot_be_written_names_the_setting(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SRError, match=r"cannot write .*file.*data\.cache=<folder>"):
        open_folder(photos, tmp_path / "file" / "below")


def test_other_data_knows_no_cache(tmp_path: Path) -> None:
    SRDataModule({"name": "sample"}, crop=16, scale=2, cache=str(tmp_path / "cache"))
    assert not list(tmp_path.rglob(INDEX))


def test_training_from_the_cache_equals_training_from_the_folder_to_the_bit(train, photos, tmp_path):
    weights = {}
    for name, cache in (("folder", "false"), ("cache", str(tmp_path / "packs"))):
        run = train("data=images", f"data.train.root={photos}", f"data.cache={cache}", name=name)
        weights[name] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert list((tmp_path / "packs").iterdir())
    for key, value in weights["folder"].items():
        assert torch.equal(value, weights["cache"][key]), key
