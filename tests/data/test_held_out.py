"""Without a validation set, a share of the user's own files is held out of training: whole files, always the same."""

import logging
from pathlib import Path

import pytest
import torch

from sr_experiments.data.module import SRDataModule
from sr_experiments.errors import SRError


def data(root: Path, name: str = "videos", **settings) -> SRDataModule:
    train = {"name": name, "root": str(root)} if "train" not in settings else settings.pop("train")
    return SRDataModule(train, batch_size=1, crop=8, num_workers=0, scale=2, **settings)


@pytest.fixture
def clips(tmp_path: Path, save_image) -> Path:
    for clip in range(8):
        for frame in range(6 if clip else 8):  # clip 0 is the longest
            save_image(tmp_path / "clips" / f"c{clip}" / f"{frame}.png", 8, 8)
    return tmp_path / "clips"


def test_clips_are_held_out_whole_and_named(clips: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        module = data(clips, val_share=0.25)
    (held,) = module.val_sets.values()
    names = [clip.name for clip in held.hr_clips]
    assert module.val_names == ["held_out"] and len(names) == 2 and "c0" not in names
    assert {clip.name for clip in module.train_set.hr_clips} == {f"c{i}" for i in range(8)} - set(names)
    assert f"held out for validation by data.val_share=0.25, and not trained on: 2 of 8 clips: {'; '.join(names)}" in (
        caplog.text
    )
    again = data(clips, val_share=0.25, seed=5).val_sets["held_out"]
    assert [clip.name for clip in again.hr_clips] == names
    for n in range(20):  # no sample is of a clip that is held out
        module.train_set[n, 2]
        assert not any(f"/{name}," in module.train_set.origin for name in names)


def test_a_clip_stays_held_out_when_others_are_added(clips: Path, save_image) -> None:
    before = {clip.name for clip in data(clips, val_share=0.5).val_sets["held_out"].hr_clips}
    for frame in range(6):
        save_image(clips / "another" / f"{frame}.png", 8, 8)
    after = {clip.name for clip in data(clips, val_share=0.5).val_sets["held_out"].hr_clips}
    assert len(before - after) <= 1


def test_a_validation_set_of_ones_own_overrides_it(clips: Path) -> None:
    module = data(clips, val_share="auto", val={"mine": {"root": str(clips)}})
    assert module.val_names == ["mine"] and len(module.train_set.hr_clips) == 8
    assert data(clips).val_names == ["sample_video"]  # as runs from before this setting


def test_of_a_single_clip_the_end_is_held_out(tmp_path: Path, save_image, caplog) -> None:
    for frame in range(20):
        save_image(tmp_path / "one" / f"{frame}.png", 8, 8)
        if frame < 5:
            save_image(tmp_path / "short" / f"{frame}.png", 8, 8)
    with caplog.at_level(logging.INFO):
        module = data(tmp_path / "one", val_share=0.3)
    assert "frames from 14 of one, the only clip" in caplog.text
    held, train = module.val_sets["held_out"], module.train_set
    assert len(held) == 6 and train.hr_clips[0].frames == 14 and train.windows(14) == 1
    whole = data(tmp_path / "one").train_set.hr_clips[0]
    assert torch.equal(held[0]["hr"], torch.from_numpy(whole.read([14])[0].transpose(2, 0, 1)))
    assert data(tmp_path / "short", val_share="auto").val_names == ["sample_video"]
    assert "short, the only clip, has 5 frames: none can be held out, so validation is on sample clips" in caplog.text


def test_images_and_pairs_are_held_out(tmp_path: Path, save_image, truncate, caplog) -> None:
    for number in range(10):
        save_image(tmp_path / "hr" / f"{number}.png", 16, 16)
        save_image(tmp_path / "lr" / f"{number}x2.png", 8, 8)
    single = data(tmp_path / "hr", "images", val_share=0.2)
    paired = data(
        tmp_path, train={"name": "paired", "hr": str(tmp_path / "hr"), "lr": str(tmp_path / "lr")}, val_share=0.2
    )
    for module in (single, paired):
        held = {module.val_sets["held_out"][i]["name"] for i in range(2)}
        assert len(module.train_set.paths) == 8 and not held & {path.stem for path in module.train_set.paths}
    assert paired.val_sets["held_out"][0]["lr"].shape == (3, 8, 8)
    lr_names = [path.stem.removesuffix("x2") for path in paired.train_set.lr_paths]
    assert [path.stem for path in paired.train_set.paths] == lr_names
    truncate(single.val_sets["held_out"].paths[0])
    skipping = data(tmp_path, train={"name": "images", "root": str(tmp_path / "hr"), "on_error": "skip"}, val_share=0.2)
    assert len(skipping.val_sets["held_out"]) == 1 and len(skipping.train_set.paths) == 9
    save_image(tmp_path / "one" / "a.png", 16, 16)
    assert data(tmp_path / "one", "images", val_share="auto").val_names == ["sample"]
    assert "1 image: none can be held out, so validation is on sample photographs" in caplog.text


def test_data_without_files_of_the_user_says_so(tmp_path: Path) -> None:
    with pytest.raises(SRError, match=r"data\.val_share=0\.1 is for images, paired, mixed and videos: set it to 0"):
        data(tmp_path, train={"name": "sample"}, val_share=0.1)
