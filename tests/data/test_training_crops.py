import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.data import TRAINING_SETS
from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.data.images import ImageFolder, ImageValidation
from sr_experiments.data.paired import PairedFolder, PairedValidation
from sr_experiments.data.resize import imresize
from sr_experiments.data.sample import TRAINING, VALIDATION, SampleImages, SampleValidation
from sr_experiments.data.sample_video import SampleVideoValidation
from sr_experiments.data.training_crops import TrainingCrops
from sr_experiments.errors import SRError
from sr_experiments.registry import build


class Coordinates(TrainingCrops):
    """Images whose pixels say which image they are and where: (index, row, column)."""

    def __init__(self, count: int = 5, **arguments) -> None:
        super().__init__([Path(f"{i}.png") for i in range(count)], scale=2, **arguments)

    def load(self, index: int) -> dict[str, np.ndarray]:
        rows, columns = np.meshgrid(np.arange(20), np.arange(24), indexing="ij")
        return {"hr": np.stack([np.full_like(rows, index), rows, columns], 2).astype(np.uint8)}


def test_a_sample_depends_on_its_number_and_the_seed_alone() -> None:
    forward, backward = Coordinates(crop=8, seed=3), Coordinates(crop=8, seed=3)
    samples = [forward[n]["hr"] for n in range(40)]
    for n in reversed(range(40)):
        assert torch.equal(backward[n]["hr"], samples[n])
    other = Coordinates(crop=8, seed=4)
    assert any(not torch.equal(other[n]["hr"], samples[n]) for n in range(40))
    assert torch.equal(pickle.loads(pickle.dumps(forward))[17]["hr"], samples[17])


def test_numbers_are_unbounded_and_every_pass_shows_every_image_in_a_new_order() -> None:
    data = Coordinates(crop=8)
    orders = [[int(data[5 * p + i]["hr"][0, 0, 0]) for i in range(5)] for p in [*range(6), 10**9]]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order) for order in orders}) > 3


def test_crops_reach_every_place_and_all_eight_orientations() -> None:
    data = Coordinates(crop=8)
    tops, lefts, orientations = set(), set(), set()
    for n in range(600):
        _, rows, columns = data[n]["hr"].int()
        top, left = int(rows.min()), int(columns.min())
        tops.add(top)
        lefts.add(left)
        assert int(rows.max()) == top + 7 and int(columns.max()) == left + 7
        # Where the picture's first two corners went tells the eight orientations apart.
        corner = (rows == top) & (columns == left)
        next_corner = (rows == top) & (columns == left + 7)
        orientations.add((*corner.nonzero()[0].tolist(), *next_corner.nonzero()[0].tolist()))
    assert tops == set(range(13))
    assert lefts == set(range(17))
    assert len(orientations) == 8


def test_without_augmentation_pictures_stay_upright() -> None:
    data = Coordinates(crop=8, augment=False)
    for n in range(20):
        _, rows, columns = data[n]["hr"].int()
        assert (rows.diff(dim=0) == 1).all() and (columns.diff(dim=1) == 1).all()


def test_image_crops_come_from_their_files(tmp_path: Path, save_image) -> None:
    for i in range(3):
        save_image(tmp_path / "deep" / f"{i}.png", seed=i)
    data = ImageFolder(str(tmp_path), crop=16, scale=2, augment=False)
    for n in range(6):
        sample = data[n]
        hr = sample["hr"].numpy().transpose(1, 2, 0)
        assert sample["hr"].shape == (3, 16, 16) and sample["hr"].dtype == torch.uint8
        assert sample["skipped"].dtype == torch.int64 and int(sample["skipped"]) == -1
        found = [
            i
            for i, path in enumerate(data.paths)
            for top in range(25)
            for left in range(33)
            if (read_image(path)[top : top + 16, left : left + 16] == hr).all()
        ]
        assert len(found) == 1


def test_grey_crops_have_one_channel(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "0.png")
    assert ImageFolder(str(tmp_path), crop=16, scale=2, channels=1)[0]["hr"].shape == (1, 16, 16)


def test_an_image_of_the_size_of_the_crop_is_enough(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "0.png", 16, 16)
    assert ImageFolder(str(tmp_path), crop=16, scale=2)[3]["hr"].shape == (3, 16, 16)


def test_small_images_stop_before_training(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "0.png", 40, 40)
    save_image(tmp_path / "small.png", 30, 15)
    with pytest.raises(SRError, match=r"small\.png is 15x30: smaller than data\.crop=16; use data\.crop=12 or less"):
        ImageFolder(str(tmp_path), crop=16, scale=4)


def test_many_small_images_are_counted(tmp_path: Path, save_image) -> None:
    for i in range(8):
        save_image(tmp_path / f"{i}.png", 8, 8)
    with pytest.raises(SRError, match=r"4\.png is 8x8; and 3 more"):
        ImageFolder(str(tmp_path), crop=16, scale=4)


def test_a_truncated_image_stops_with_its_name(tmp_path: Path, save_image, truncate) -> None:
    for i in range(3):
        save_image(tmp_path / f"{i}.png")
    truncate(tmp_path / "1.png")
    data = ImageFolder(str(tmp_path), crop=16, scale=2)
    with pytest.raises(UnreadableImage, match=r"1\.png"):
        [data[n] for n in range(3)]


def test_a_truncated_image_is_skipped_for_the_next_of_the_order(tmp_path: Path, save_image, truncate) -> None:
    for i in range(4):
        save_image(tmp_path / f"{i}.png", seed=i)
    whole = ImageFolder(str(tmp_path), crop=40, scale=2, augment=False)
    expected = [whole[n]["hr"] for n in range(8)]
    truncate(tmp_path / "1.png")
    data = ImageFolder(str(tmp_path), crop=40, scale=2, augment=False, on_error="skip")
    samples = [data[n] for n in range(8)]
    replaced = [n for n in range(8) if int(samples[n]["skipped"]) >= 0]
    assert len(replaced) == 2  # once a pass
    for n in range(8):
        if n in replaced:
            assert data.paths[int(samples[n]["skipped"])].name == "1.png"
            assert samples[n]["hr"].shape == (3, 40, 40)
        else:
            assert torch.equal(samples[n]["hr"], expected[n])


def test_files_that_are_no_images_stop_at_once_or_are_skipped(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "0.png")
    (tmp_path / "1.png").write_text("no image")
    with pytest.raises(UnreadableImage, match=r"1\.png.*on_error=skip"):
        ImageFolder(str(tmp_path), crop=16, scale=2)
    data = ImageFolder(str(tmp_path), crop=16, scale=2, on_error="skip")
    assert sorted(int(data[n]["skipped"]) for n in range(2)) == [-1, 1]


def test_all_unreadable_is_an_error_even_with_skip(tmp_path: Path, save_image, truncate) -> None:
    for i in range(2):
        save_image(tmp_path / f"{i}.png")
        truncate(tmp_path / f"{i}.png")
    data = ImageFolder(str(tmp_path), crop=16, scale=2, on_error="skip")
    with pytest.raises(SRError, match="none of the 2 images can be read"):
        data[0]


# -- pairs ---------------------------------------------------------------------------------------------------


def save_pair(
    save_image, hr_path: Path, lr_path: Path, scale: int, seed: int, height: int = 49, width: int = 54
) -> None:
    # Of low contrast, so that nothing is clipped when it is resized.
    pixels = save_image(hr_path, height, width, seed, low=80, high=170)
    hr = torch.from_numpy(pixels[: height // scale * scale, : width // scale * scale]).permute(2, 0, 1)[None] / 255
    lr = (imresize(hr, Fraction(1, scale)) * 255).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
    lr_path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(lr).save(lr_path)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("scale", [2, 3])
def test_lr_crops_lie_where_hr_crops_lie(tmp_path: Path, save_image, scale: int, augment: bool) -> None:
    for i in range(2):
        save_pair(save_image, tmp_path / f"hr/{i}.png", tmp_path / f"lr/{i}.png", scale, seed=i)
    crop = 10 * scale
    data = PairedFolder(str(tmp_path / "hr"), str(tmp_path / "lr"), crop=crop, scale=scale, augment=augment)
    # A turned crop is resized in the other order of passes, which can move the rounding by one.
    allowed = 1 if augment else 0
    for n in range(40):
        sample = data[n]
        assert sample["hr"].shape == (3, crop, crop) and sample["lr"].shape == (3, 10, 10)
        made = (imresize(sample["hr"][None].float() / 255, Fraction(1, scale)) * 255).round()[0].int()
        difference = (made - sample["lr"].int()).abs()[:, 3:-3, 3:-3]  # farther in than the kernel reaches
        assert int(difference.max()) <= allowed


@pytest.mark.parametrize(
    ("hr_name", "lr_name"),
    [
        ("0001.png", "0001.png"),
        ("0001.png", "0001x4.png"),
        ("0001.png", "0001_x4.jpg"),
        ("0001.png", "0001X4.png"),
        ("0001.png", "0001_LRBI_x4.png"),
        ("0001.png", "0001x4m.png"),
        ("img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png"),
        ("0001_HR.png", "lr_0001.png"),
        ("000/00000000.png", "X4/000/00000000.png"),
        ("a.png", "x4/ax4.png"),
        ("album.png", "album_LR.png"),
    ],
)
def test_usual_names_of_pairs_are_understood(tmp_path: Path, save_image, hr_name: str, lr_name: str) -> None:
    save_image(tmp_path / "HR" / hr_name, 64, 64)
    save_image(tmp_path / "LR" / lr_name, 16, 16)
    data = PairedFolder(str(tmp_path / "HR"), str(tmp_path / "LR"), crop=32, scale=4)
    assert data.paths == [tmp_path / "HR" / hr_name]
    assert data.lr_paths == [tmp_path / "LR" / lr_name]


def test_names_with_a_meaning_of_their_own_pair_exactly(tmp_path: Path, save_image) -> None:
    for name in ("a.png", "a_x4.png", "b10.png", "b9.png"):
        save_image(tmp_path / "HR" / name, 32, 32)
        save_image(tmp_path / "LR" / name, 8, 8)
    data = PairedFolder(str(tmp_path / "HR"), str(tmp_path / "LR"), crop=32, scale=4)
    assert [path.name for path in data.paths] == ["a.png", "a_x4.png", "b9.png", "b10.png"]
    assert [path.name for path in data.lr_paths] == [path.name for path in data.paths]


def test_all_mismatched_names_are_reported_in_one_line(tmp_path: Path, save_image) -> None:
    for i in range(8):
        save_image(tmp_path / "HR" / f"{i}.png", 32, 32)
    save_image(tmp_path / "LR" / "0.png", 8, 8)
    save_image(tmp_path / "LR" / "other.png", 8, 8)
    with pytest.raises(SRError) as caught:
        PairedFolder(str(tmp_path / "HR"), str(tmp_path / "LR"), crop=32, scale=4)
    message = str(caught.value)
    assert "HR 1.png has no LR; HR 2.png has no LR" in message and "and 3 more" in message
    assert "\n" not in message


def test_ambiguous_names_are_reported(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "HR" / "a.png", 32, 32)
    save_image(tmp_path / "LR" / "ax4.png", 8, 8)
    save_image(tmp_path / "LR" / "a_LRBI_x4.png", 8, 8)
    with pytest.raises(SRError, match=r"HR a\.png could each belong to LR a_LRBI_x4\.png, ax4\.png"):
        PairedFolder(str(tmp_path / "HR"), str(tmp_path / "LR"), crop=32, scale=4)


@pytest.mark.parametrize(
    "make", [lambda hr, lr: PairedFolder(hr, lr, 32, 4), lambda hr, lr: PairedValidation(hr, lr, 4)]
)
def test_mismatched_sizes_are_reported_by_file(tmp_path: Path, save_image, make) -> None:
    for name, lr_size in (("a.png", (8, 8)), ("b.png", (8, 9)), ("c.png", (16, 16))):
        save_image(tmp_path / "HR" / name, 32, 32)
        save_image(tmp_path / "LR" / name, *lr_size)
    with pytest.raises(SRError) as caught:
        make(str(tmp_path / "HR"), str(tmp_path / "LR"))
    assert "a.png" not in str(caught.value)
    assert "b.png should be 8x8, but it is 9x8" in str(caught.value)
    assert "c.png should be 8x8, but it is 16x16" in str(caught.value)


def test_a_truncated_lr_skips_the_pair(tmp_path: Path, save_image, truncate) -> None:
    for i in range(3):
        save_pair(save_image, tmp_path / f"hr/{i}.png", tmp_path / f"lr/{i}.png", 2, seed=i)
    truncate(tmp_path / "lr/2.png")
    data = PairedFolder(str(tmp_path / "hr"), str(tmp_path / "lr"), crop=16, scale=2, on_error="skip")
    assert sorted(int(data[n]["skipped"]) for n in range(3)) == [-1, -1, 2]


# -- validation and samples ----------------------------------------------------------------------------------


def test_validation_images_are_whole_multiples_of_the_scale(tmp_path: Path, save_image) -> None:
    pixels = save_image(tmp_path / "b/2.png", 41, 47)
    save_image(tmp_path / "b/10.png", 41, 47)
    data = ImageValidation(str(tmp_path), scale=4)
    assert [data[i]["name"] for i in range(len(data))] == ["b_2", "b_10"]
    assert (data[0]["hr"].permute(1, 2, 0).numpy() == pixels[:40, :44]).all()
    assert len(ImageValidation(str(tmp_path), scale=4, limit=1)) == 1


def test_validation_images_smaller_than_the_scale_are_named(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "thin.png", 40, 3)
    with pytest.raises(SRError, match=r"thin\.png is 3x40"):
        ImageValidation(str(tmp_path), scale=4)[0]
    for validation in (SampleValidation, SampleVideoValidation):
        with pytest.raises(SRError, match="size=3"):
            validation(scale=4, size=3)


def test_paired_validation_crops_hr_to_what_lr_covers(tmp_path: Path, save_image) -> None:
    save_pair(save_image, tmp_path / "hr/0.png", tmp_path / "lr/0x3.png", 3, seed=0)
    item = PairedValidation(str(tmp_path / "hr"), str(tmp_path / "lr"), scale=3)[0]
    assert item["hr"].shape == (3, 48, 54) and item["lr"].shape == (3, 16, 18) and item["name"] == "0"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sample_photographs_train_and_validate_apart(scale: int) -> None:
    assert not set(TRAINING) & set(VALIDATION)
    train, val = SampleImages(crop=24 * scale, scale=scale), SampleValidation(scale=scale)
    assert train[0]["hr"].shape == (3, 24 * scale, 24 * scale)
    assert {val[i]["name"] for i in range(len(val))} == {"camera", "chelsea", "coffee", "rocket"}
    assert all(val[i]["hr"].shape == (3, 256 // scale * scale, 256 // scale * scale) for i in range(len(val)))


def test_sample_photographs_too_small_for_the_crop_say_so() -> None:
    with pytest.raises(SRError, match=r"coins\.png is 384x303.*use data\.crop=300 or less"):
        SampleImages(crop=400, scale=4)


def test_sources_are_built_by_name_and_typos_get_a_hint(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "0.png")
    config = {"name": "images", "root": str(tmp_path)}
    assert isinstance(build("training data", TRAINING_SETS, config, crop=16, scale=2, channels=3, seed=0), ImageFolder)
    with pytest.raises(SRError, match="did you mean root"):
        build("training data", TRAINING_SETS, {"name": "images", "rot": "."}, crop=16, scale=2, channels=3, seed=0)
