"""Sample clips: pure functions of their number, and a true flow that really warps one frame onto the next."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.data.camera import camera_path, true_flow
from sr_experiments.data.objects import Scene
from sr_experiments.data.sample_video import SampleVideo, SampleVideoValidation
from sr_experiments.errors import SRError
from sr_experiments.generators.warp import warp


def test_a_clip_is_a_pure_function_of_its_number():
    a, b = SampleVideo(32, 4), SampleVideo(32, 4)
    a[3, 4], a[0, 2]
    assert torch.equal(a[7, 3]["hr"], b[7, 3]["hr"])
    assert a[7, 3]["hr"].shape == (3, 3, 32, 32) and a[7, 3]["hr"].dtype == torch.uint8
    assert not torch.equal(a[7, 3]["hr"], a[8, 3]["hr"])
    assert not torch.equal(a[7, 3]["hr"], SampleVideo(32, 4, seed=1)[7, 3]["hr"])
    assert SampleVideo(32, 4, channels=1)[0, 2]["hr"].shape == (2, 1, 32, 32)


def test_films_photographs_of_ones_own(tmp_path):
    folder = tmp_path / "photographs" / "below"
    folder.mkdir(parents=True)
    for name, value in (("a.png", 40), ("b.png", 200)):
        Image.new("RGB", (90, 80), (value, 0, 0)).save(folder / name)
    clips = SampleVideo(32, 4, root=str(tmp_path / "photographs"))
    values = {int(clips[n, 2]["hr"][:, 0].unique().item()) for n in range(12)}
    assert values == {40, 200} and clips.origin.endswith(".png")
    with pytest.raises(SRError, match=r"data\.crop=48 leaves the camera no room in a\.png: use 40 or less"):
        SampleVideo(48, 4, root=str(folder))


def test_the_camera_moves_smoothly_and_never_leaves_the_photograph():
    for seed in range(50):
        path = camera_path(np.random.default_rng(seed), 10, 96, (300, 400))
        corners = path @ np.array([(0, 0, 1), (95, 0, 1), (0, 95, 1), (95, 95, 1)]).T  # (10, 2, 4)
        assert corners.min() >= -1e-6
        assert corners[:, 0].max() <= 399 + 1e-6 and corners[:, 1].max() <= 299 + 1e-6
        speed = np.diff(path[:, :, 2], axis=0)
        assert np.abs(np.diff(speed, axis=0)).max() < 10


@pytest.mark.parametrize("frame", [1, 5, 11])
def test_the_true_flow_warps_the_frame_before_onto_this_one(frame):
    clips = SampleVideoValidation(4)
    assert clips.ranges[1] == range(12, 24) and len(clips) == 48
    inner = (..., slice(12, -12), slice(12, -12))
    for clip in clips.ranges:
        before, now = clips[clip[frame - 1]], clips[clip[frame]]
        assert now["frame"] == frame and now["clip"] == before["clip"]
        frames = [x["hr"][None].float() for x in (before, now)]
        shifts = torch.tensor([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]).view(5, 1, 2, 1, 1)
        right, *wrong = [(warp(frames[0], now["flow"] + s) - frames[1])[inner].abs().mean() for s in shifts]
        assert right < 2, "interpolation costs at most two grey levels"
        assert all(right < 0.8 * error for error in wrong)


def test_flow_of_a_pure_translation_is_its_opposite():
    photograph = torch.rand(3, 200, 200)
    path = np.zeros((2, 2, 3))
    path[:, 0, 0] = path[:, 1, 1] = 1
    path[:, :, 2] = [(50, 60), (53, 58)]  # the camera goes right and up, so the content goes left and down
    flow = true_flow(path, 1, 64)
    assert torch.allclose(flow, torch.tensor([3.0, -2.0]).view(2, 1, 1).expand(2, 64, 64), atol=1e-4)
    before, now = Scene(photograph, path, 64).film().float()
    assert torch.equal(before[:, :-2, 3:], now[:, 2:, :-3])


def test_frames_that_are_too_large_are_refused():
    with pytest.raises(SRError, match=r"data\.crop=400"):
        SampleVideo(400, 4)
    with pytest.raises(SRError, match="400x400"):
        SampleVideoValidation(4, size=400)


# -- objects in front --------------------------------------------------------------------------------------------


def test_clips_with_objects_are_pure_functions_of_their_number_and_the_camera_is_the_same():
    a, b, plain = SampleVideo(48, 4, objects=3), SampleVideo(48, 4, objects=3), SampleVideo(48, 4)
    a[2, 4]
    clips = [a[n, 3]["hr"] for n in range(12)]
    assert all(torch.equal(clip, b[n, 3]["hr"]) for n, clip in enumerate(clips))
    hidden = [(clip != plain[n, 3]["hr"]).any(1).float().mean() for n, clip in enumerate(clips)]
    assert min(hidden) == 0, "some have no object"
    assert 0.02 < np.mean(hidden) < 0.8 and max(hidden) > 0.1, "objects hide a part of the background"


def test_objects_move_in_their_own_way_and_the_true_flow_knows():
    clips = SampleVideoValidation(4, objects=2, frames=6)
    background = SampleVideoValidation(4, frames=6)
    frame = 3
    for clip in clips.ranges:
        before, now = clips[clip[frame - 1]], clips[clip[frame]]
        off = (now["flow"] - background[clip[frame]]["flow"]).norm(dim=0)
        assert ((off == 0) | (off > 0.05)).float().mean() > 0.97 and 0.05 < (off > 0).float().mean() < 0.9
        frames = [x["hr"][None].float() for x in (before, now)]
        inner = (..., slice(12, -12), slice(12, -12))
        right = (warp(frames[0], now["flow"][None]) - frames[1])[inner].abs().mean(1)
        wrong = (warp(frames[0], background[clip[frame]]["flow"][None]) - frames[1])[inner].abs().mean(1)
        moving = (off[12:-12, 12:-12] > 0.5)[None]
        assert right[moving].median() < 3 < wrong[moving].mean()


def test_what_an_object_hides_comes_back_as_it_was():
    """The background is filmed whole: nothing of it is lost behind an object."""
    scene = SampleVideoValidation(4, objects=1, frames=12).scenes[0]
    piece = scene.pieces[0]
    alpha = piece.alpha(piece.path, scene.size)[:, 0]
    covered = (alpha[0] == 1) & (alpha[-1] == 0)
    assert covered.any(), "it moves away from somewhere"
    assert 0 < ((alpha > 0) & (alpha < 1)).float().mean() < 0.1, "its edge is a pixel wide"
    without = Scene(scene.photograph, scene.path, scene.size).film()
    assert torch.equal(scene.film()[-1][:, alpha[-1] == 0], without[-1][:, alpha[-1] == 0])
