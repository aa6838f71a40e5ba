"""Videos through a network with a lookahead: every frame with those after it in its shot, and with no others."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.data.image_files import read_image
from sr_experiments.display.pictures import GAP, LABEL_HEIGHT
from sr_experiments.evaluation.evaluate import Request, evaluate
from sr_experiments.generators import GENERATORS
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.lookahead import with_later
from sr_experiments.inference.options import Options
from sr_experiments.inference.video import resume
from sr_experiments.inference.video.upscale import upscale_frames
from tests.inference.films import QUIET, film, packets, rgb, times, upscale, write
from tests.inference.test_video_resume import CUT, shots, stop_at

AHEAD = 2
LOSSLESS = {"codec": "ffv1", "pix_fmt": "bgr0"}


@pytest.fixture
def net(tmp_path):
    """A network whose pixels differ by tens of levels without the later frames."""
    torch.manual_seed(0)
    config = {"name": "basicvsr_uni", "scale": 2, "features": 8, "blocks": 1, "lookahead": AHEAD}
    config["flow"] = "lucas_kanade"
    generator = GENERATORS["basicvsr_uni"](**{name: value for name, value in config.items() if name != "name"})
    with torch.no_grad():
        generator.srnet.conv_last.weight.mul_(30)
    record = {"format": 1, "generator": config}
    torch.save({"params": generator.state_dict(), "sr_experiments": record}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def engine(net):
    return Engine(load_generator(net)[0], "cpu", "fp32", runtime="torch")


def folder(path, frames):
    path.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"{i:03d}.png")
    return path


def upscaled(net, source, target, **options):
    upscale_frames(engine(net), source, target, Options(**options), QUIET)
    return [read_image(path) for path in sorted(target.iterdir())]


def whole_shot(net, frames):
    clip = torch.stack([torch.from_numpy(frame.copy()).permute(2, 0, 1) / 255 for frame in frames])[None]
    with torch.no_grad():
        sr = load_generator(net)[0].eval()(clip).sr[0]
    return (sr.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def test_frames_come_with_those_after_them_in_their_shot():
    read = []
    frames = (read.append(n) or n for n in range(7))
    pairs = with_later(frames, 2, lambda n: n == 4)
    assert next(pairs) == (0, [1, 2]) and read == [0, 1, 2]
    assert list(pairs) == [(1, [2, 3]), (2, [3]), (3, []), (4, [5, 6]), (5, [6]), (6, [])]
    assert list(with_later(range(3), 0)) == [(0, []), (1, []), (2, [])]


def test_each_shot_is_as_by_itself_and_as_the_network_makes_it(net, tmp_path):
    both = upscaled(net, folder(tmp_path / "both", shots()), tmp_path / "large")
    assert len(both) == 20
    ends = (0, CUT, 20)
    for begin, end in pairwise(ends):
        alone = upscaled(net, folder(tmp_path / f"from{begin}", shots()[begin:end]), tmp_path / f"large{begin}")
        for one, other, expected in zip(both[begin:end], alone, whole_shot(net, shots()[begin:end]), strict=True):
            np.testing.assert_array_equal(one, other)
            assert np.abs(one.astype(int) - expected).max() <= 1
    blind = upscaled(net, tmp_path / "both", tmp_path / "blind", scene_cuts=False)
    differs = [bool((one != other).any()) for one, other in zip(both, blind, strict=True)]
    assert differs == [number >= CUT - AHEAD for number in range(20)]


@pytest.mark.parametrize(
    "frame", [pytest.param(3, marks=pytest.mark.slow), 11, pytest.param(17, marks=pytest.mark.slow)]
)
def test_a_resumed_video_equals_an_uninterrupted_one(net, tmp_path, monkeypatch, frame):
    monkeypatch.setattr(resume, "SEGMENT", 5)
    stamps = [int(stamp) * 40 for stamp in np.cumsum([1, 2, 1, 1, 3] * 4)]
    source = write(tmp_path / "in.mkv", shots(), stamps=stamps, audio="aac")
    upscale(engine(net), source, tmp_path / "whole.mkv")
    with pytest.raises(KeyboardInterrupt):
        upscale(stop_at(engine(net), frame, KeyboardInterrupt()), source, tmp_path / "out.mkv")
    upscale(engine(net), source, tmp_path / "out.mkv", resume=True)
    for kind in ("video", "audio"):
        assert packets(tmp_path / "out.mkv", kind) == packets(tmp_path / "whole.mkv", kind)
    assert times(tmp_path / "out.mkv") == times(source)


@pytest.mark.slow
def test_frames_too_large_for_memory_are_made_in_tiles(net):
    frames = film(4, 140, 200)
    whole, tiled = (Engine(load_generator(net)[0], "cpu", "fp32", tile=tile, runtime="torch") for tile in (None, 96))
    seen = []
    tiled._network.srnet.fuse.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:]))
    for frame, later in with_later(frames, AHEAD):
        expected = whole.next_frame(frame, *later).astype(int)
        assert np.abs(tiled.next_frame(frame, *later) - expected).max() <= 1
    assert max(height * width for height, width in seen) < 140 * 200 / 2


@pytest.mark.slow
def test_evaluation_has_the_pixels_of_upscale(net, tmp_path):
    low = film(7)
    lr = folder(tmp_path / "lr", low)
    hr = folder(tmp_path / "hr", [frame.repeat(2, 0).repeat(2, 1) for frame in low])
    large = upscaled(net, lr, tmp_path / "large")
    evaluate(Request(hr, [net], lr=lr, device="cpu", save=tmp_path / "saved"))
    saved = [read_image(path) for path in sorted((tmp_path / "saved" / "net").rglob("*.png"))]
    np.testing.assert_allclose(saved, large, atol=1)  # another runtime


@pytest.mark.slow
def test_tune_and_preview_have_the_pixels_of_upscale(sr, net, tmp_path):
    source = write(tmp_path / "in.mkv", film(5), **LOSSLESS)
    upscale(engine(net), source, tmp_path / "large.mkv", preview=1 / 25, **LOSSLESS)
    done = sr(
        "tune", source, "-o", tmp_path / "sheet.png", "-c", net, "--frames", 1, "--device", "cpu", "--precision", "fp32"
    )
    assert done.code == 0, done.err
    shown = np.array(Image.open(tmp_path / "sheet.png"))[LABEL_HEIGHT:, 64 + GAP :]
    np.testing.assert_allclose(shown, rgb(tmp_path / "large.mkv")[2], atol=1)
