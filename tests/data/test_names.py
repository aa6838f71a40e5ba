"""Names of files pair whatever system wrote them, and frames are ordered by the number that differs."""

import unicodedata
from pathlib import Path

from sr_experiments.data.packs.packing import pack
from sr_experiments.data.paired import PairedFolder
from sr_experiments.data.videos import VideoFolder, VideoValidation

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Zoë é") for form in ("NFC", "NFD"))


def test_images_pair_in_either_form_of_unicode_also_from_packs(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "hr" / f"{COMPOSED}.png", 8, 8)
    save_image(tmp_path / "lr" / f"{DECOMPOSED}x4.png", 2, 2)
    pack(tmp_path / "hr", tmp_path / "packed", workers=0)
    for hr in ("hr", "packed"):
        pairs = PairedFolder(str(tmp_path / hr), str(tmp_path / "lr"), 8, 4)
        assert (pairs.paths, pairs.lr_paths) == (
            [tmp_path / hr / f"{COMPOSED}.png"],
            [tmp_path / "lr" / f"{DECOMPOSED}x4.png"],
        )


def test_clips_pair_in_either_form_of_unicode(tmp_path: Path, save_image) -> None:
    for frame in range(2):
        save_image(tmp_path / "hr" / COMPOSED / f"{frame}.png", 16, 16)
        save_image(tmp_path / "lr" / DECOMPOSED / f"{frame}.png", 4, 4)
    (tmp_path / "cuts.txt").write_text(f"{DECOMPOSED} 1", encoding="utf-8")
    hr, lr = str(tmp_path / "hr"), str(tmp_path / "lr")
    clips = VideoFolder(hr, 8, 4, lr=lr, scene_cuts=str(tmp_path / "cuts.txt"))
    assert clips.shots == [(0, 0, 1), (0, 1, 2)]
    assert len(VideoValidation(4, hr=hr, lr=lr).hr_clips) == 1


def test_frames_whose_names_end_with_the_scale_are_ordered_by_the_number_before(tmp_path: Path, save_image) -> None:
    for frame in (10, 9, 8):
        save_image(tmp_path / "clip" / f"frame{frame}_x4.png", 8, 8)
    (clip,) = VideoValidation(4, root=str(tmp_path)).hr_clips
    assert clip.files == ["frame8_x4.png", "frame9_x4.png", "frame10_x4.png"]
