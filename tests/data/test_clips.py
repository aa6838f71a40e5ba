import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sr_experiments.data.clips import TrainingClips, ValidationClips
from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.data.sample import sample_paths
from sr_experiments.errors import SRError


class Coordinates:
    """Frames whose pixels say where they are: (10 * clip + frame, row, column)."""

    def __init__(self, number: int, frames: int, height: int = 20, width: int = 24, scale: int = 1) -> None:
        self.name, self.path, self.frames = f"clip {number}", Path(f"films/{number}"), frames
        self.number, self.size, self.scale = number, (height // scale, width // scale), scale
        self.damaged: set[int] = set()

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        frames = []
        for index in indices:
            if index in self.damaged:
                raise UnreadableImage(f"can't read frame {index} of {self.path}: damaged; replace or remove the file")
            rows, columns = np.meshgrid(*(np.arange(side) for side in self.size), indexing="ij")
            value = np.full_like(rows, 10 * self.number + index)
            # LR pixel (y, x) stands for the HR pixels from (scale * y, scale * x) on.
            frames.append(np.stack([value, self.scale * rows, self.scale * columns], 2).astype(np.uint8))
        return frames


def training(lengths: Sequence[int] = (6, 9, 3), **arguments) -> TrainingClips:
    clips = [Coordinates(i, frames) for i, frames in enumerate(lengths)]
    return TrainingClips(clips, **{"crop": 8, "scale": 2, "scene_cuts": "none", **arguments})


def numbers(hr: torch.Tensor) -> list[int]:
    """The frames of a sample: 10 * clip + frame."""
    assert (hr[:, 0] == hr[:, 0, :1, :1]).all()
    return hr[:, 0, 0, 0].tolist()


def is_moving(hr: torch.Tensor) -> bool:
    return len(set(numbers(hr))) == 1


def test_a_sample_depends_on_its_number_its_length_and_the_seed_alone() -> None:
    forward, backward = training(seed=3), training(seed=3)
    keys = [(n, frames) for n in range(20) for frames in (1, 3, 5)]
    samples = {key: forward[key]["hr"] for key in keys}
    for key in reversed(keys):
        assert torch.equal(backward[key]["hr"], samples[key])
        assert samples[key].shape == (key[1], 3, 8, 8) and samples[key].dtype == torch.uint8
    assert any(not torch.equal(training(seed=4)[key]["hr"], samples[key]) for key in keys)
    assert torch.equal(pickle.loads(pickle.dumps(forward))[17, 3]["hr"], samples[17, 3])


def test_workers_give_the_same_samples() -> None:
    data, keys = training(), [[(2 * step, 4), (2 * step + 1, 4)] for step in range(6)]
    alone = [batch["hr"] for batch in DataLoader(data, batch_sampler=keys)]
    helped = [batch["hr"] for batch in DataLoader(data, batch_sampler=keys, num_workers=2)]
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))
    assert alone[0].shape == (2, 4, 3, 8, 8)


def test_every_pass_shows_every_window_once_in_a_new_order() -> None:
    data = training(moving_frame=0)
    assert data.windows(4) == 3 + 6 and data.windows(3) == 4 + 7 + 1
    orders = [[min(numbers(data[9 * p + i, 4]["hr"])) for i in range(9)] for p in (0, 1, 10**9)]
    windows = [0, 1, 2, 10, 11, 12, 13, 14, 15]
    assert all(sorted(order) == windows for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_frames_are_consecutive_of_one_clip_and_cropped_alike() -> None:
    data = training(moving_frame=0)
    orientations, reversed_, tops, lefts = set(), 0, set(), set()
    for n in range(400):
        hr = data[n, 3]["hr"].int()
        order = numbers(hr)
        backwards = order[0] > order[-1]
        assert (order[::-1] if backwards else order) == list(range(min(order), min(order) + 3))
        assert len({number // 10 for number in order}) == 1
        assert (hr[:, 1:] == hr[:1, 1:]).all()  # the same rows and columns, lying the same way
        rows, columns = hr[0, 1], hr[0, 2]
        top, left = int(rows.min()), int(columns.min())
        assert sorted(rows.unique().tolist()) == list(range(top, top + 8))
        corner, next_corner = (rows == top) & (columns == left), (rows == top) & (columns == left + 7)
        orientations.add((*corner.nonzero()[0].tolist(), *next_corner.nonzero()[0].tolist()))
        reversed_ += backwards
        tops.add(top)
        lefts.add(left)
    assert len(orientations) == 8 and 150 < reversed_ < 250
    assert tops == set(range(13)) and lefts == set(range(17))


def test_three_samples_in_ten_are_a_walk_over_one_frame() -> None:
    data = training(lengths=(12,), crop=4)
    moving = [hr for n in range(1000) if is_moving(hr := data[n, 4]["hr"].int())]
    assert 250 < len(moving) < 350
    steps = torch.cat([(hr[:, 1:].amin((2, 3))).diff(dim=0) for hr in moving])  # of top and left
    assert set(steps.flatten().tolist()) == set(range(-4, 5))
    for hr in moving:
        assert (hr[:, 1:].amax((2, 3)) - hr[:, 1:].amin((2, 3)) == 3).all()  # always a whole crop
    # All steps are alike, but for those of 4, half of which are left.
    counts = torch.bincount(steps.flatten() + 4).float()
    assert counts[1:8].std() < 0.2 * counts[1:8].mean() and counts[[0, 8]].max() < 0.8 * counts[1:8].mean()


def test_a_walk_stays_within_a_small_frame() -> None:
    data = training(lengths=(12,), crop=18, scale=2, moving_frame=1)
    places = set()
    for n in range(100):
        hr = data[n, 10]["hr"].int()
        assert is_moving(hr) and hr.shape == (10, 3, 18, 18)
        places |= {tuple(place) for place in hr[:, 1:].amin((2, 3)).tolist()}
    assert {top for top, _ in places} == {0, 1, 2} and {left for _, left in places} == set(range(7))


def test_without_augmentation_clips_run_forwards_upright() -> None:
    data, again = training(augment=False), training(augment=False)
    places = set()
    for n in range(40):
        hr = data[n, 3]["hr"].int()
        assert numbers(hr) == list(range(numbers(hr)[0], numbers(hr)[0] + 3))
        assert (hr[:, 1].diff(dim=1) == 1).all() and (hr[:, 2].diff(dim=2) == 1).all()
        assert torch.equal(hr, again[n, 3]["hr"].int())
        places.add((int(hr[0, 1, 0, 0]), int(hr[0, 2, 0, 0])))
    assert len(places) > 20


@pytest.mark.parametrize("scale", [2, 4])
def test_lr_lies_where_hr_lies_also_on_a_walk(scale: int) -> None:
    hr_clips = [Coordinates(i, 6, 48, 64) for i in range(3)]
    lr_clips = [Coordinates(i, 6, 48, 64, scale) for i in range(3)]
    data = TrainingClips(hr_clips, 16, scale, lr_clips=lr_clips, scene_cuts="none")
    walks = 0
    for n in range(120):
        sample = data[n, 5]
        hr, lr = sample["hr"].int(), sample["lr"].int()
        assert lr.shape == (5, 3, 16 // scale, 16 // scale)
        # Of each patch of HR, the upper left pixel is that which LR shows, however it is turned.
        patches = hr.unfold(2, scale, scale).unfold(3, scale, scale)  # (T, 3, h, w, scale, scale)
        assert torch.equal(patches.amin((4, 5)), lr)
        assert (patches.amax((4, 5))[:, 1:] - lr[:, 1:] == scale - 1).all()
        if is_moving(hr):
            walks += 1
            steps = hr[:, 1:].amin((2, 3)).diff(dim=0)
            assert (steps % scale == 0).all() and steps.abs().max() <= 4
    assert walks > 15


def test_no_window_crosses_a_listed_cut(tmp_path: Path) -> None:
    (tmp_path / "cuts.txt").write_text("clip 0 2\nclip 1 4 8\n")
    data = training(scene_cuts=str(tmp_path / "cuts.txt"), moving_frame=0)
    shots = [{0, 1}, {2, 3, 4, 5}, {10, 11, 12, 13}, {14, 15, 16, 17}, {18}, {20, 21, 22}]
    assert data.windows(2) == 1 + 3 + 3 + 3 + 2
    assert data.windows(1) == 18
    for n in range(24):
        assert any(set(numbers(data[n, 2]["hr"])) <= shot for shot in shots)
    with pytest.raises(SRError, match=r"no clip has 5 frames in one shot: the longest, films/0, has 4; train on 4"):
        data[0, 5]
    (tmp_path / "cuts.txt").write_text("clip 7 2\n")
    with pytest.raises(SRError, match=r"cuts\.txt line 1: 'clip 7 2' does not begin with the name of a clip"):
        training(scene_cuts=str(tmp_path / "cuts.txt"))


class Film:
    """Two shots: three frames of one photograph, then frames of another."""

    name, path, frames, size = "film", Path("film"), 9, (64, 96)

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        pictures = [read_image(path) for path in sample_paths(("astronaut.png", "coffee.png"))]
        return [pictures[index >= 3][index : index + 320 : 5, :480:5] for index in indices]


def test_windows_with_a_cut_inside_are_passed_over_without_being_skipped() -> None:
    data = TrainingClips([Film()], 64, 2, moving_frame=0)
    trusted = TrainingClips([Film()], 64, 2, moving_frame=0, scene_cuts="none")
    crossing = 0
    for n in range(14):
        sample, other = data[n, 3], trusted[n, 3]["hr"].float()
        clip = sample["hr"].float()
        assert (clip.diff(dim=0).abs().mean((1, 2, 3)) < 20).all() and int(sample["skipped"]) == -1
        crossing += bool((other.diff(dim=0).abs().mean((1, 2, 3)) > 40).any())
    assert crossing == 4  # two of the seven windows, in two passes
    with pytest.raises(SRError, match=r"each of the 2 windows of 8 frames contains a scene cut.*scene_cuts=none"):
        data[0, 8]


def test_an_unreadable_frame_stops_or_another_window_stands_in() -> None:
    data = training(lengths=(5, 5), moving_frame=0)
    data.hr_clips[1].damaged = {0}
    with pytest.raises(UnreadableImage, match=r"frame 0 of films/1: damaged.*data\.train\.on_error=skip"):
        [data[n, 4] for n in range(4)]
    whole = training(lengths=(5, 5), moving_frame=0)
    data.on_error = "skip"
    replaced = [n for n in range(4) if int(data[n, 4]["skipped"]) >= 0]
    assert len(replaced) == 1 and int(data[replaced[0], 4]["skipped"]) == 1
    assert data.paths[1] == Path("films/1")
    assert numbers(whole[replaced[0], 4]["hr"])[0] in (10, 13)
    assert all(0 <= min(numbers(data[n, 4]["hr"])) != 10 for n in range(4))
    for clip in data.hr_clips:
        clip.damaged = set(range(5))
    with pytest.raises(SRError, match="none of the 4 windows of 4 frames can be read"):
        data[0, 4]


def test_too_long_a_clip_names_the_longest() -> None:
    with pytest.raises(SRError, match=r"no clip has 10 frames.*films/1, has 9; train on 9 or fewer"):
        training().windows(10)


def test_validation_gives_every_frame_of_every_clip_in_order() -> None:
    clips = [Coordinates(i, frames, 21, 23) for i, frames in enumerate((3, 5))]
    data = ValidationClips(clips, 4, frames=4)
    assert data.clips and data.ranges == [range(0, 3), range(3, 7)] and len(data) == 7
    items = [data[i] for i in range(7)]
    assert [item["frame"] for item in items] == [0, 1, 2, 0, 1, 2, 3]
    assert items[5]["name"] == "clip 1_0002" and items[5]["clip"] == "clip 1"
    assert [int(item["hr"][0, 0, 0]) for item in items] == [0, 1, 2, 10, 11, 12, 13]
    assert items[0]["hr"].shape == (3, 20, 20)
