import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.utils.data import DataLoader

from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.data.packs.folders import FileFolder
from sr_experiments.data.packs.packing import pack
from sr_experiments.data.reds import REDS, REDS4, REDSValidation
from sr_experiments.data.videos import VideoFolder, VideoValidation, open_frames
from sr_experiments.data.vimeo90k import Vimeo90K, Vimeo90KValidation
from sr_experiments.errors import SRError
from tests.video.test_decode import film, write

ROOT = Path(__file__).resolve().parents[2]
VID4 = ROOT.parent / "shared" / "data" / "Vid4"


def save_clip(folder: Path, number: int = 0, frames: int = 4, size: tuple[int, int] = (32, 48), first: int = 0) -> None:
    """Frames whose pixels say which clip and frame they are, and their row."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(frames):
        pixels = np.empty((*size, 3), np.uint8)
        pixels[:, :] = number, i, 0
        pixels[:, :, 2] = np.arange(size[0])[:, None]
        Image.fromarray(pixels).save(folder / f"{first + i:08d}.png")


def folder(root: Path, **arguments) -> VideoFolder:
    return VideoFolder(str(root), **{"crop": 16, "scale": 4, **arguments})


def test_clips_are_folders_of_images_and_video_files_in_natural_order(tmp_path: Path) -> None:
    for name in ("b/10", "b/9", "a", ".hidden/x"):
        save_clip(tmp_path / name)
    write(tmp_path / "b/9a.mp4", film(5))
    (tmp_path / "notes.txt").write_text("no clip")
    data = folder(tmp_path)
    assert [clip.name for clip in data.hr_clips] == ["a", "b/9", "b/9a", "b/10"]
    assert data.paths == [tmp_path / "a", tmp_path / "b/9", tmp_path / "b/9a.mp4", tmp_path / "b/10"]
    assert [(clip.frames, clip.size) for clip in data.hr_clips[1:3]] == [(4, (32, 48)), (5, (96, 128))]
    assert data.clips and not data.in_memory
    assert data.windows(4) == 3 + 2
    samples = [data[n, 4] for n in range(10)]
    assert all(sample["hr"].shape == (4, 3, 16, 16) and int(sample["skipped"]) == -1 for sample in samples)
    for n in reversed(range(10)):
        assert torch.equal(folder(tmp_path)[n, 4]["hr"], samples[n]["hr"])


def test_workers_read_video_files_that_the_main_process_has_open(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.mp4", film(12, 40, 48))
    data, keys = folder(tmp_path), [[(2 * step, 4), (2 * step + 1, 4)] for step in range(5)]
    alone = [batch["hr"] for batch in DataLoader(data, batch_sampler=keys)]
    helped = [batch["hr"] for batch in DataLoader(data, batch_sampler=keys, num_workers=2)]
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))


def test_a_root_of_images_is_one_clip(tmp_path: Path) -> None:
    save_clip(tmp_path / "walk", frames=6)
    data = folder(tmp_path / "walk", channels=1)
    assert [clip.name for clip in data.hr_clips] == ["walk"] and data.windows(2) == 5
    assert data[0, 2]["hr"].shape == (2, 1, 16, 16)


def test_frames_are_in_the_order_of_their_last_number(tmp_path: Path) -> None:
    files = [f"take7_{i}.png" for i in (9, 11, 10, 8)]
    for i, name in enumerate(files):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / name)
    clip = open_frames(FileFolder(tmp_path), tmp_path, files, "take7")
    assert clip.files == ["take7_8.png", "take7_9.png", "take7_10.png", "take7_11.png"]
    assert [int(frame[0, 0, 0]) for frame in clip.read([3, 0])] == [1, 3]


def remove_some(clip: Path) -> None:
    for number in (1, 3, 4):
        (clip / f"{number:08d}.png").unlink()


def change_size(clip: Path) -> None:
    Image.new("RGB", (32, 32)).save(clip / "00000003.png")


def repeat(clip: Path) -> None:
    Image.new("RGB", (48, 32)).save(clip / "2.jpg")


def unnumbered(clip: Path) -> None:
    Image.new("RGB", (48, 32)).save(clip / "cover.png")


def damage(clip: Path) -> None:
    (clip / "00000002.png").write_text("no image")


def shrink(clip: Path) -> None:
    save_clip(clip, size=(12, 48), frames=6)


def damaged_video(clip: Path) -> None:
    (clip.parent / "film.mkv").write_text("no video")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_some, r"clip .*bad lacks frame 1; 3; 4; add it"),
        (change_size, r"frames of clip .*bad differ in size: 00000003\.png is 32x32, 00000000\.png is 48x32"),
        (
            repeat,
            r"clip .*bad has frame 2 2 times: 2\.jpg; 00000002\.png|clip .*bad has frame 2 2 times: 0+2\.png; 2\.j",
        ),
        (unnumbered, r"cover\.png has no number in its name"),
        (damage, r"can't read image .*bad/00000002\.png"),
        (shrink, r"clip .*bad is 48x12: smaller than data\.crop=16"),
        (damaged_video, r"can't read video .*film\.mkv"),
    ],
)
def test_unfit_clips_stop_before_training_or_are_left_out(tmp_path: Path, caplog, spoil, message: str) -> None:
    save_clip(tmp_path / "good")
    save_clip(tmp_path / "bad", frames=6)
    spoil(tmp_path / "bad")
    with pytest.raises(SRError, match=message) as caught:
        folder(tmp_path)
    assert "data.train.on_error=skip" in str(caught.value) and "\n" not in str(caught.value)
    with caplog.at_level(logging.WARNING):
        data = folder(tmp_path, on_error="skip")
    assert "good" in [clip.name for clip in data.hr_clips]
    assert len(caplog.records) == 1
    assert "leaving out 1 of" in caplog.text and ("bad" in caplog.text or "film" in caplog.text)
    if spoil not in (shrink,):
        with pytest.raises(SRError, match=message):
            VideoValidation(scale=4, root=str(tmp_path))


def test_with_all_clips_unfit_skipping_is_an_error(tmp_path: Path) -> None:
    save_clip(tmp_path / "a", size=(8, 8))
    with pytest.raises(SRError, match=r"a is 8x8: smaller than data\.crop=16"):
        folder(tmp_path, on_error="skip")


def test_a_frame_that_proves_damaged_is_skipped_by_window(tmp_path: Path, truncate, save_image) -> None:
    for i in range(4):
        save_image(tmp_path / "a" / f"{i}.png", 32, 48, seed=i)
    save_clip(tmp_path / "b")
    truncate(tmp_path / "a/0.png")
    data = folder(tmp_path, on_error="skip", scene_cuts="none")
    skipped = [int(data[n, 3]["skipped"]) for n in range(4)]
    assert sorted(skipped) == [-1, -1, -1, 0] and data.paths[0].name == "a"
    with pytest.raises(UnreadableImage, match=r"a/0\.png"):
        data = folder(tmp_path, scene_cuts="none")
        [data[n, 3] for n in range(4)]


def test_missing_and_empty_roots_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SRError, match=r"no folder .*nowhere"):
        folder(tmp_path / "nowhere")
    with pytest.raises(SRError, match=r"no clips in .*\.png.*\.mp4"):
        folder(tmp_path)
    save_clip(tmp_path / "film")
    write(tmp_path / "film.mp4", film(2))
    with pytest.raises(SRError, match=r"would both be clip 'film'"):
        folder(tmp_path)


# -- pairs ---------------------------------------------------------------------------------------------------


def save_pair(root: Path, name: str, seed: int, frames: int = 4, scale: int = 4) -> None:
    """HR whose patches of scale x scale pixels are of one colour, and LR of these colours."""
    for i in range(frames):
        lr = np.random.default_rng((seed, i)).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        for kind, pixels in (("lr", lr), ("hr", lr.repeat(scale, 0).repeat(scale, 1))):
            (root / kind / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / kind / name / f"{i:04d}.png")


@pytest.mark.parametrize("frames", [1, 3])
def test_paired_lr_lies_where_hr_lies(tmp_path: Path, frames: int) -> None:
    for i in range(3):
        save_pair(tmp_path, f"{i}", seed=i)
    data = folder(tmp_path / "hr", lr=str(tmp_path / "lr"), scene_cuts="none")
    for n in range(30):
        sample = data[n, frames]
        assert sample["lr"].shape == (frames, 3, 4, 4)
        assert torch.equal(sample["hr"], sample["lr"].repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_lr_is_found_in_the_folder_of_its_scale(tmp_path: Path) -> None:
    save_pair(tmp_path, "a", seed=0)
    (tmp_path / "bicubic").mkdir()
    (tmp_path / "lr").rename(tmp_path / "bicubic" / "X4")
    data = VideoValidation(4, hr=str(tmp_path / "hr"), lr=str(tmp_path / "bicubic"))
    assert data[2]["lr"].shape == (3, 9, 12) and data[2]["hr"].shape == (3, 36, 48)


def test_hr_and_lr_that_do_not_pair_are_named(tmp_path: Path) -> None:
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for i in range(3):
        save_pair(tmp_path, f"{i}", seed=i)
    Image.new("RGB", (12, 10)).save(lr / "2" / "0000.png")
    with pytest.raises(SRError, match=r"2 differ in size"):
        folder(hr, lr=str(lr))
    for i in range(4):
        Image.new("RGB", (12, 10)).save(lr / "2" / f"{i:04d}.png")
    (lr / "1" / "0003.png").unlink()
    with pytest.raises(SRError) as caught:
        folder(hr, lr=str(lr))
    assert "hr/1 has 4 frames" in str(caught.value) and "lr/1 has 3" in str(caught.value)
    assert "lr/2 should be 12x9, but it is 12x10" in str(caught.value)
    (lr / "2").rename(lr / "two")
    with pytest.raises(SRError, match=r"HR clip 2 has no LR; LR clip two has no HR"):
        folder(hr, lr=str(lr))


# -- validation ----------------------------------------------------------------------------------------------


def test_validation_items_are_frames_in_order(tmp_path: Path) -> None:
    save_clip(tmp_path / "GT/b", 1, size=(33, 50), first=1)
    save_clip(tmp_path / "GT/a", 0, frames=3)
    write(tmp_path / "c.mp4", film(6, 98, 130))
    data = VideoValidation(4, root=str(tmp_path))
    assert data.clips and data.ranges == [range(0, 6), range(6, 9), range(9, 13)] and len(data) == 13
    item = data[10]
    assert (item["name"], item["clip"], item["frame"]) == ("GT_b_0001", "GT/b", 1)
    assert item["hr"].shape == (3, 32, 48) and item["hr"].dtype == torch.uint8
    assert item["hr"][:, 5, 0].tolist() == [1, 1, 5]
    assert data[5]["name"] == "c_0005" and data[5]["hr"].shape == (3, 96, 128)
    assert VideoValidation(4, root=str(tmp_path), limit=2, frames=2).ranges == [range(0, 2), range(2, 4)]


def test_validation_takes_root_or_hr(tmp_path: Path) -> None:
    save_clip(tmp_path / "a")
    assert len(VideoValidation(4, hr=str(tmp_path))) == 4
    for wrong in ({}, {"root": str(tmp_path), "hr": str(tmp_path)}):
        with pytest.raises(SRError, match="either root"):
            VideoValidation(4, **wrong)


@pytest.mark.skipif(not (VID4 / "calendar").is_dir(), reason=f"Vid4 is not at {VID4}")
def test_vid4_is_read_and_has_no_cuts() -> None:
    data = folder(VID4, crop=64, moving_frame=0)
    assert {clip.name for clip in data.hr_clips} >= {"calendar", "city"}
    assert all(data[n, 7]["hr"].shape == (7, 3, 64, 64) for n in range(4))
    trusted = folder(VID4, crop=64, moving_frame=0, scene_cuts="none")
    assert all(torch.equal(data[n, 5]["hr"], trusted[n, 5]["hr"]) for n in range(4))
    item = VideoValidation(4, root=str(VID4), frames=3)[4]
    first = sorted((VID4 / "city").iterdir())[1]
    assert item["clip"] == "city" and item["frame"] == 1
    height, width = item["hr"].shape[-2:]
    assert (item["hr"].permute(1, 2, 0).numpy() == read_image(first)[:height, :width]).all()


# -- published sets ------------------------------------------------------------------------------------------


def test_reds_keeps_reds4_for_validation(tmp_path: Path) -> None:
    for number in (*map(int, REDS4), 1, 239):
        save_clip(tmp_path / f"train_sharp/{number:03d}", number)
        save_clip(tmp_path / f"train_sharp_bicubic/X4/{number:03d}", number, size=(8, 12))
    train = REDS(str(tmp_path), crop=16, scale=4)
    assert [clip.name for clip in train.hr_clips] == ["001", "239"]
    assert set(train[0, 3]) == {"hr", "skipped"}
    val = REDSValidation(str(tmp_path), scale=4, lr="bicubic", frames=2)
    assert [val[i.start]["clip"] for i in val.ranges] == list(REDS4)
    assert val[2]["name"] == "011_0000" and val[2]["lr"].shape == (3, 8, 12)
    assert REDS(str(tmp_path), crop=16, scale=4, lr="bicubic")[0, 2]["lr"].shape == (2, 3, 4, 4)


def test_what_reds_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(SRError, match=r"no folder .*train_sharp: root=.* must be where REDS was unpacked"):
        REDS(str(tmp_path), crop=16, scale=4)
    save_clip(tmp_path / "train_sharp/000")
    with pytest.raises(SRError, match=r"lacks 011, 015, 020 of REDS4"):
        REDSValidation(str(tmp_path), scale=4)
    with pytest.raises(SRError, match=r"no folder .*X4"):
        REDS(str(tmp_path), crop=16, scale=4, lr="bicubic")


@pytest.fixture
def vimeo(tmp_path: Path) -> Path:
    for i, name in enumerate(("00001/0001", "00001/0002", "00002/0001", "00002/0009")):
        save_clip(tmp_path / "sequences" / name, i, frames=8)
        for frame in range(1, 8):
            clip = tmp_path / "sequences" / name
            (clip / f"{frame:08d}.png").rename(clip / f"im{frame}.png")
        (clip / "00000000.png").unlink()
    (tmp_path / "sep_trainlist.txt").write_text("00001/0001\n00002/0001\n00002/0009\n\n")
    (tmp_path / "sep_testlist.txt").write_text("00001/0002\n")
    return tmp_path


def test_vimeo_clips_are_those_listed(vimeo: Path) -> None:
    train, val = Vimeo90K(str(vimeo), crop=16, scale=4), Vimeo90KValidation(str(vimeo), scale=4)
    assert [clip.name for clip in train.hr_clips] == ["00001/0001", "00002/0001", "00002/0009"]
    assert train.windows(7) == 3 and train.windows(5) == 9
    assert train[0, 7]["hr"].shape == (7, 3, 16, 16)
    with pytest.raises(SRError, match=r"no clip has 8 frames.*has 7"):
        train.windows(8)
    assert val.ranges == [range(7)] and val[6]["name"] == "00001_0002_0006"
    assert val[6]["hr"][:2, 0, 0].tolist() == [1, 7]


def test_what_vimeo_lacks_is_named(vimeo: Path, caplog) -> None:
    with (vimeo / "sep_trainlist.txt").open("a") as list_:
        list_.write("00002/0002\n00003/0001\n")
    with pytest.raises(SRError, match=r"lacks 2 of 5 clips .*sep_trainlist\.txt: 00002/0002; 00003/0001"):
        Vimeo90K(str(vimeo), crop=16, scale=4)
    assert len(Vimeo90K(str(vimeo), crop=16, scale=4, on_error="skip").hr_clips) == 3
    assert "00003/0001" in caplog.text
    with pytest.raises(SRError, match=r"48x32: smaller than data\.crop=64; use 32 or less"):
        Vimeo90K(str(vimeo), crop=64, scale=4, on_error="skip")
    (vimeo / "sequences/00001/0002/im3.png").unlink()
    with pytest.raises(UnreadableImage, match=r"00001/0002/im3\.png does not exist"):
        Vimeo90KValidation(str(vimeo), scale=4)[2]
    (vimeo / "sep_testlist.txt").unlink()
    with pytest.raises(SRError, match=r"can't read .*sep_testlist\.txt: root="):
        Vimeo90KValidation(str(vimeo), scale=4)


def test_vimeo_reads_no_headers_at_the_start(vimeo: Path) -> None:
    for path in (vimeo / "sequences").glob("0000?/*/im*.png"):
        if path.parent.parent.name + path.parent.name != "000010001":
            path.write_text("not looked at")
    assert len(Vimeo90K(str(vimeo), crop=16, scale=4).hr_clips) == 3


@pytest.mark.parametrize("name", ["videos", "reds", "vimeo90k"])
def test_the_yaml_composes(name: str) -> None:
    from hydra import compose, initialize_config_dir

    assert (ROOT / "conf/data" / f"{name}.yaml").read_text().startswith("# ")
    assert yaml.safe_load((ROOT / "conf/data" / f"{name}.yaml").read_text())["train"]["name"] == name
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", [f"data={name}", "data.train.root=somewhere"])
    assert cfg.data.train.root == "somewhere" and cfg.data.batch_size == 4 and cfg.data.val == {}
    assert "tof" in cfg.metrics


# -- smaller frames ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "pack", "video"])
def test_shrunk_frames_are_means_of_squares_of_pixels(tmp_path: Path, kind: str) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 50, 74, 3), dtype=np.uint8)
    root = tmp_path / "clips"
    if kind == "video":
        root.mkdir()
        write(root / "a.mp4", list(frames))
    else:
        save_clip(root / "a")
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(root / "a" / f"{number:08d}.png")
    if kind == "pack":
        pack(root, tmp_path / "pack")
        root = tmp_path / "pack"
    whole, training = folder(root).hr_clips[0], folder(root, shrink=3).hr_clips[0]
    assert training.size == (16, 24) and training.frames == 4
    held = VideoValidation(4, root=str(root), shrink=3)
    for number, frame in enumerate(whole.read(range(4))):
        means = np.asarray(frame)[:48, :72].reshape(16, 3, 24, 3, 3).mean((1, 3))
        assert np.abs(training.read([number])[0] - means).max() <= 0.5
        assert np.abs(held[number]["hr"].permute(1, 2, 0).numpy() - means).max() <= 0.5
    assert folder(root, shrink=3)[0, 2]["hr"].shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": 16}, "is 48x32: smaller than data.crop=16 times shrink=3"),
        ({"crop": 8, "lr": "lr"}, "shrink=3 makes HR smaller, and lr=lr would no longer fit"),
    ],
)
def test_shrink_that_leaves_too_little_is_refused(tmp_path: Path, arguments: dict, message: str) -> None:
    save_clip(tmp_path / "clips/a")
    with pytest.raises(SRError, match=message):
        folder(tmp_path / "clips", shrink=3, **arguments)
