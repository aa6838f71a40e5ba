"""tOF, tLP100 and the warping error against their definitions, written here over whole lists of frames."""

import copy
import functools
import pickle

import cv2
import lpips
import numpy as np
import pytest
import torch
import torchvision
from scipy import ndimage
from skimage import data

from sr_experiments.errors import SRError
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.warping_error import warp
from sr_experiments.pretrained.catalogue import weights_file
from sr_experiments.pretrained.fetch import WeightsUnavailable
from sr_experiments.registry import build

PHOTO = data.astronaut()
GRAVEL = np.stack([data.gravel()] * 3, -1)  # texture everywhere, so that flow estimators see all of the motion
TECOGAN = ["tof", "tlp"]


@pytest.fixture(scope="module", autouse=True)
def _random_weights(tmp_path_factory):
    """A torch home with random AlexNet weights under torchvision's name, with which the metrics are built."""
    home = tmp_path_factory.mktemp("torch_home")
    (home / "hub/checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        torch.save(torchvision.models.alexnet(weights=None).state_dict(), weights_file("alexnet"))
        prototype("tlp")
        alexnet()
    yield
    prototype.cache_clear()
    alexnet.cache_clear()


@functools.cache
def prototype(name, **arguments):
    return build("metric", METRICS, {"name": name, **arguments})


@functools.cache
def alexnet():
    """The lpips package's own way to its network, then the trunk."""
    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    features = torch.load(weights_file("alexnet"), weights_only=True)
    network.net.load_state_dict({k: features["features." + k.split(".", 1)[1]] for k in network.net.state_dict()})
    return network.eval()


def metric(name, **arguments):
    return copy.deepcopy(prototype(name, **arguments))  # making AlexNet takes a second


def moving(n, step=(2, -1), size=(72, 100), photo=PHOTO):
    """n frames (H, W, 3) uint8 of a photograph under a window that moves by step = (dx, dy)."""
    (dx, dy), (height, width) = step, size
    return [photo[120 + t * dy :, 200 + t * dx :][:height, :width].copy() for t in range(n)]


def flickering(frames, strength, seed=0):
    """The frames with noise of their own each."""
    rng = np.random.default_rng(seed)
    return [np.clip(f + rng.normal(0, strength, f.shape), 0, 255).round().astype(np.uint8) for f in frames]


def tensor(frame):
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255


def feed(measure, *clips):
    """Each clip is a list of SR frames and a list of HR frames."""
    for sr, hr in clips:
        measure.start_clip()
        for a, b in zip(sr, hr, strict=True):
            measure.update(tensor(a), tensor(b))
    return measure


def value(name, *clips, **arguments):
    return feed(metric(name, **arguments), *clips).compute().item()


# -- the definitions -----------------------------------------------------------------------------------------


def tecogan_crop(image):
    """crop_8x8 of TecoGAN's metrics.py."""
    height, width = image.shape[:2]
    h, w = height // 32 * 32, width // 32 * 32
    while h > height - 16:
        h -= 32
    while w > width - 16:
        w -= 32
    y, x = (height - h) // 2, (width - w) // 2
    return image[y : y + h, x : x + w]


def tof_reference(sr, hr):
    def flow(frames, t):
        before, now = (cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames[t - 1 : t + 1])
        return tecogan_crop(cv2.calcOpticalFlowFarneback(before, now, None, 0.5, 3, 15, 3, 5, 1.2, 0))

    distances = [flow(hr, t) - flow(sr, t) for t in range(3, len(hr) - 2)]
    return [np.sqrt((d * d).sum(-1)).mean() for d in distances]


def tlp_reference(sr, hr):
    def change(frames, t):
        before, now = (tensor(tecogan_crop(f)) * 2 - 1 for f in frames[t - 1 : t + 1])
        with torch.no_grad():
            return alexnet()(before, now).item()

    return [100 * abs(change(hr, t) - change(sr, t)) for t in range(3, len(hr) - 2)]


def warping_error_reference(sr, hr, crop=0):
    values = []
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for t in range(1, len(hr)):
        before, now = (cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in hr[t - 1 : t + 1])
        back, there = (dis.calc(a, b, None).astype(float) for a, b in ((now, before), (before, now)))
        height, width = now.shape
        y, x = np.mgrid[:height, :width]
        at = np.stack([y + back[..., 1], x + back[..., 0]])

        def sampled(channel, at=at):
            return ndimage.map_coordinates(channel.astype(float), at, order=1, mode="nearest")

        there = np.stack([sampled(there[..., i]) for i in range(2)], -1)
        size = (back**2).sum(-1)
        hidden = ((there + back) ** 2).sum(-1) > 0.01 * ((there**2).sum(-1) + size) + 0.5
        right, below = (np.diff(back, axis=i, append=np.take(back, [-1], i)) for i in (1, 0))
        boundary = (right**2 + below**2).sum(-1) > 0.01 * size + 0.002
        outside = (at[0] < 0) | (at[1] < 0) | (at[0] > height - 1) | (at[1] > width - 1)
        keep = ~(hidden | boundary | outside)
        keep[:crop], keep[height - crop :], keep[:, :crop], keep[:, width - crop :] = False, False, False, False
        if keep.any():
            warped = np.stack([sampled(sr[t - 1][..., c]) for c in range(3)], -1)
            values.append(1000 * np.mean(((sr[t] - warped)[keep] / 255) ** 2))
    return values


REFERENCES = {"tof": tof_reference, "tlp": tlp_reference, "warping_error": warping_error_reference}
ALL = list(REFERENCES)


@pytest.mark.parametrize("length", [6, 7, 9])
@pytest.mark.parametrize("name", ALL)
def test_streaming_gives_the_value_of_the_definition(name, length):
    hr = moving(length)
    sr = flickering(hr, 8)
    expected = REFERENCES[name](sr, hr)
    assert len(expected) == (length - 5 if name in TECOGAN else length - 1)
    assert value(name, (sr, hr)) == pytest.approx(np.mean(expected), rel=1e-3)
    assert np.mean(expected) > 0.01


@pytest.mark.parametrize("size", [(48, 63), (64, 79), (95, 112)])
def test_the_crop_is_tecogans(size):
    hr = moving(6, size=size)
    sr = flickering(hr, 8)
    for name in TECOGAN:
        assert value(name, (sr, hr)) == pytest.approx(REFERENCES[name](sr, hr)[0], rel=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_clips_do_not_mix_and_every_pair_weighs_the_same(name):
    clips = [(flickering(hr, s), hr) for hr, s in ((moving(6), 4), (moving(9, step=(-1, 3), size=(60, 80)), 12))]
    pairs = [v for sr, hr in clips for v in REFERENCES[name](sr, hr)]
    assert value(name, *clips) == pytest.approx(np.mean(pairs), rel=1e-3)


@pytest.mark.parametrize("name", TECOGAN)
def test_clips_of_less_than_6_frames_count_nothing(name):
    short, long = ((flickering(hr, 8), hr) for hr in (moving(5), moving(6)))
    assert value(name, short, long, short) == value(name, long)
    with pytest.raises(SRError, match="at least 6 frames"):
        value(name, short, short)


def test_the_warping_error_takes_two_frames_and_motion_that_can_be_followed():
    hr = moving(2)
    assert value("warping_error", (hr, hr)) < 1
    with pytest.raises(SRError, match="at least 2 frames"):
        value("warping_error", (hr[:1], hr[:1]))
    noise = flickering([np.full((40, 40, 3), 128, np.uint8)] * 2, 60)
    masked = metric("warping_error", crop_border=19)
    assert not warping_error_reference(noise, noise, crop=19)
    feed(masked, (noise, noise))
    assert masked.count == 0


@pytest.mark.parametrize("name", TECOGAN)
def test_what_moves_as_the_truth_has_no_error(name):
    hr = moving(7)
    assert value(name, (hr, hr)) == 0


def test_still_clips_have_no_warping_error_whatever_they_show():
    hr, sr = moving(1) * 4, flickering(moving(1), 30) * 4
    assert value("warping_error", (sr, hr)) == 0


@pytest.mark.parametrize("step", [(3, 0), (0, -2), (-4, 3)])
def test_known_translation(step):
    hr = moving(6, step, size=(128, 160), photo=GRAVEL)
    still = [hr[0]] * len(hr)
    blurred = cv2.GaussianBlur(GRAVEL, (0, 0), 1)
    smooth = moving(6, step, size=(128, 160), photo=blurred)
    # A picture that stands still misses the whole motion ...
    assert value("tof", (still, hr)) == pytest.approx(np.hypot(*step), rel=0.01)
    # ... and one that moves with the truth, even blurred, nearly nothing.
    assert value("tof", (smooth, hr)) < 0.01 * np.hypot(*step)
    assert value("warping_error", (smooth, hr), crop_border=4) < 0.05
    assert value("warping_error", (flickering(smooth, 5), hr), crop_border=4) > 0.3


@pytest.mark.parametrize("name", ALL)
def test_more_flicker_is_worse(name):
    hr = moving(8)
    values = [value(name, (flickering(hr, strength), hr)) for strength in (0, 3, 8, 20)]
    assert values == sorted(values) and len(set(values)) == 4
    assert not metric(name).higher_is_better


def test_changing_brightness_is_flicker():
    hr = moving(6)
    gained = [np.clip(f * (1 + 0.08 * (-1) ** t), 0, 255).round().astype(np.uint8) for t, f in enumerate(hr)]
    assert value("warping_error", (gained, hr)) > 10 * value("warping_error", (hr, hr))


def test_the_warping_error_cuts_the_border():
    hr = moving(4)
    sr = flickering(hr, 8)
    whole, cut = (value("warping_error", (sr, hr), crop_border=crop) for crop in (0, 8))
    assert cut == pytest.approx(np.mean(warping_error_reference(sr, hr, crop=8)), rel=1e-3) != whole
    assert "crop 8" in metric("warping_error", crop_border=8).convention


@pytest.mark.parametrize("name", ALL)
def test_two_processes_with_a_clip_each_get_the_mean_over_all_pairs(name):
    clips = [(flickering(hr, s), hr) for hr, s in ((moving(6), 4), (moving(8, step=(-1, 3)), 12))]
    one, other, idle = (feed(metric(name), *part) for part in (clips[:1], clips[1:], []))
    one.merge_state(other)
    one.merge_state(idle)
    assert one.compute().item() == pytest.approx(value(name, *clips), rel=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_long_clip_takes_no_more_memory(name):
    measure, sizes = metric(name), []
    hr = moving(50, step=(1, 0), size=(48, 48))
    for i, frame in enumerate(hr, start=1):
        measure.update(tensor(frame), tensor(frame))
        if i in (10, 50):
            sizes.append(len(pickle.dumps(measure)))
    assert abs(sizes[1] - sizes[0]) < 100


@pytest.mark.parametrize("name", ALL)
def test_reset_forgets_the_clip_and_copies_are_independent(name):
    hr = moving(7)
    sr = flickering(hr, 8)
    measure = feed(metric(name), (sr[:4], hr[:4]))
    twin = copy.deepcopy(measure)
    measure.reset()
    for a, b in zip(sr, hr, strict=True):  # without start_clip(): reset is one
        measure.update(tensor(a), tensor(b))
    for a, b in zip(sr[4:], hr[4:], strict=True):
        twin.update(tensor(a), tensor(b))
    assert measure.compute() == twin.compute() == value(name, (sr, hr))


@pytest.mark.parametrize("name", ALL)
def test_frames_are_rounded_and_clamped_and_grey_is_rgb_with_equal_channels(name):
    hr = [cv2.cvtColor(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for f in moving(6)]
    sr = flickering([f[..., :1] for f in hr], 20)
    grey, beyond = metric(name), metric(name)
    for a, b in zip(sr, hr, strict=True):
        grey.update(tensor(a), tensor(b[..., :1]))
        levels = tensor(a).expand(-1, 3, -1, -1)
        outside = (levels == 1) * 0.3 - (levels == 0) * 0.3
        beyond.update((levels + 0.3 / 255 + outside), tensor(b))
    assert any((a == 255).any() for a in sr)
    assert grey.compute().item() == pytest.approx(beyond.compute().item(), rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_frames_too_small_to_measure_say_so(name):
    small = moving(6, size=(47, 100) if name in TECOGAN else (6, 40))
    with pytest.raises(SRError, match="48x48" if name in TECOGAN else "8x8"):
        value(name, (small, small))


def test_conventions_name_what_is_measured():
    assert all(metric(name).temporal for name in ALL)
    for name, words in {
        "tof": ["tOF", "Farneback", "TecoGAN"],
        "tlp": ["tLP x 100", "LPIPS v0.1", "alex", "TecoGAN"],
        "warping_error": ["warping error x 1000", "MSE", "DIS flow of HR", "crop 0"],
    }.items():
        assert [w for w in words if w not in metric(name).convention] == []


def test_tlp_is_never_measured_with_untrained_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    with pytest.raises(WeightsUnavailable, match="alexnet"):
        build("metric", METRICS, {"name": "tlp"})
    with pytest.raises(SRError, match="squeeze"):
        build("metric", METRICS, {"name": "tlp", "net": "resnet"})


def pan(frames, step):
    """A photograph that moves by (dx, dy) pixels a frame, sampled bilinearly: uint8 (T, 160, 200, 3)."""
    image = torch.from_numpy(PHOTO).permute(2, 0, 1)[None].double()
    made = []
    for t in range(frames):
        x, y = 20 + step[0] * t + torch.arange(200), 30 + step[1] * t + torch.arange(160)
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).double()
        sides = torch.tensor([image.shape[3] - 1, image.shape[2] - 1])
        made.append(torch.nn.functional.grid_sample(image, (2 * grid / sides - 1)[None], align_corners=True)[0])
    return torch.stack(made).round().byte().permute(0, 2, 3, 1).numpy()


def test_warping_samples_between_pixels_exactly():
    rng = np.random.default_rng(0)
    image, flow = rng.random((40, 50, 3), np.float32), rng.normal(0, 4, (40, 50, 2)).astype(np.float32)
    x = np.clip(np.arange(50) + flow[..., 0].astype(float), 0, 49)
    y = np.clip(np.arange(40)[:, None] + flow[..., 1].astype(float), 0, 39)
    left, top = np.minimum(x.astype(int), 48), np.minimum(y.astype(int), 38)
    right, down = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    np.testing.assert_allclose(warp(image, flow), upper * (1 - down) + lower * down, atol=2e-5)


def test_the_flow_and_the_error_of_a_known_pan_stay_what_they_were():
    pixels = pan(6, (1.37, 0.61))
    assert value("warping_error", (pixels, pixels)) == pytest.approx(0.1010, rel=0.005)  # OpenCV 4.14 and 5.0
