"""Clips that a recurrent network can make little of: of one frame, shorter than the training's, changing in size."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.data.videos import VideoFolder
from sr_experiments.errors import SRError
from sr_experiments.inference.engine import Engine
from tests.inference.films import film, rgb, write

NETWORKS = [pytest.param("frvsr", marks=pytest.mark.slow), "basicvsr_uni"]


def frames_in(folder, frames):
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:04d}.png")
    return folder


@pytest.mark.parametrize("network", NETWORKS)
def test_one_frame_is_a_clip(sr, weights, tmp_path, network):
    net = weights(network)
    expected = Engine(load_generator(net)[0], "cpu", "fp32").next_frame(film(1)[0])
    done = sr("upscale", frames_in(tmp_path / "one", film(1)), "-o", tmp_path / "out", "-c", net, "--precision", "fp32")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out/0000.png")), expected)
    video = write(tmp_path / "one.mkv", film(1), codec="ffv1", pix_fmt="bgr0")
    done = sr("upscale", video, "-o", tmp_path / "out.mkv", "-c", net, "--precision", "fp32", "--codec", "ffv1")
    assert done.code == 0, done.err
    assert len(rgb(tmp_path / "out.mkv")) == 1
    done = sr("evaluate", "--hr", frames_in(tmp_path / "clips/a", film(1, 64, 64)).parent, "--clips", "-c", net)
    assert done.code == 0 and "psnr_y" in done.out and "tof" in done.out, done.err


@pytest.mark.parametrize("network", NETWORKS)
def test_frames_that_change_in_size_are_one_line_and_cost_no_finished_frame(sr, weights, tmp_path, network):
    folder = frames_in(tmp_path / "in", [*film(3), *film(2, 20, 32)])
    done = sr("upscale", folder, "-o", tmp_path / "out", "-c", weights(network))
    assert done.code == 2 and "0003.png" in done.err and "32x20" in done.err
    assert done.err.count("error:") == 1 and "error:" in done.err.strip().splitlines()[-1]
    left = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in left] == ["0000.png", "0001.png", "0002.png"], "what was finished stays"
    assert all(np.array(Image.open(path)).shape == (48, 64, 3) for path in left)


def test_clips_shorter_than_a_stage_wants_are_named_before_the_first_step(train, tmp_path, capsys):
    for name, count in (("short", 4), ("shorter", 1)):
        frames_in(tmp_path / "clips" / name, film(count, 48, 48))
    with pytest.raises(SystemExit) as stop:
        train(
            "data=videos", f"data.train.root={tmp_path / 'clips'}", "model.flow=lucas_kanade", "stages=[sr]",
            "stage.sr.clip_length=5", video="basicvsr_uni",
        )  # fmt: skip
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert stop.value.code == 2 and len(lines) == 1
    assert "no clip has 5 frames in one shot: the longest," in lines[0] and "short, has 4" in lines[0]


def test_a_clip_of_one_frame_is_trained_on_where_others_are_longer(tmp_path):
    """Its windows are none; it stands in no other clip's way."""
    for name, count in (("long", 6), ("single", 1)):
        frames_in(tmp_path / name, film(count, 48, 48))
    clips = VideoFolder(str(tmp_path), crop=16, scale=4)
    assert clips.windows(5) == 2 and clips.windows(1) == 7
    assert clips[0, 5]["hr"].shape == (5, 3, 16, 16)


def test_a_frame_that_is_damaged_in_the_middle_is_named_or_passed_over(tmp_path):
    folder = frames_in(tmp_path / "a", film(7, 48, 48))
    whole = (folder / "0003.png").read_bytes()
    (folder / "0003.png").write_bytes(whole[: len(whole) // 2])
    clips = VideoFolder(str(tmp_path), crop=16, scale=4, moving_frame=0)
    with pytest.raises(SRError, match=r"0003\.png.*on_error=skip"):
        [clips[number, 3] for number in range(8)]
    skipping = VideoFolder(str(tmp_path), crop=16, scale=4, moving_frame=0, on_error="skip")
    samples = [skipping[number, 3] for number in range(10)]
    assert {int(sample["skipped"]) for sample in samples} == {-1, 0}
    assert all(torch.isfinite(sample["hr"].float()).all() for sample in samples)
