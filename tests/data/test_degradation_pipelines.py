"""What the degradations made of steps promise as a whole; their files in conf/degradation."""

import copy

import pytest
import skimage.data
import torch
import torch.nn.functional as F
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.degradations.pipeline import Pipeline
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.sharpen import sharpen
from sr_experiments.data.resize import imresize
from sr_experiments.errors import SRError
from sr_experiments.registry import build
from tests.conftest import ROOT

NAMES = ["classical", "real_esrgan", "video"]


def config(name):
    return yaml.safe_load((ROOT / "conf/degradation" / f"{name}.yaml").read_text())


def degradation(name, scale=4, **changes):
    return build("degradation", DEGRADATIONS, {**config(name), **changes}, scale=scale)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def photographs(n, side=64):
    whole = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1).float() / 255
    return torch.stack([whole[:, 9 * i : 9 * i + side, 15 * i : 15 * i + side] for i in range(n)])


def quiet(name, scale=4, jpeg=True):
    """The degradation without noise, and all but without compression; JPEG may be left out."""
    made = copy.deepcopy(config(name))

    def mute(steps):
        for step in steps:
            if step["name"] == "noise":
                step |= {"probability": 0}
            if step["name"] == "jpeg":
                step |= {"quality": [100, 100], "probability": float(jpeg)}
            if step["name"] == "codec":
                step |= {"crf": [1, 1]}
            for group in step.get("groups", []):
                mute(group)

    mute(made["stages"])
    return build("degradation", DEGRADATIONS, {**made, "usm": False}, scale=scale)


@pytest.mark.parametrize("name", NAMES)
def test_the_generators_state_decides(name):
    made, hr = degradation(name), photographs(8)
    lr = made(hr, rng(1))
    assert torch.equal(lr, made(hr, rng(1)))
    assert not torch.equal(lr, made(hr, rng(2)))
    generator = rng(1)
    made(hr, generator)
    assert not torch.equal(lr, made(hr, generator))  # it moves on
    torch.manual_seed(5)
    a = made(hr)
    torch.manual_seed(5)
    assert torch.equal(a, made(hr))


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_its_own_parameters(name):
    lr = degradation(name)(photographs(1).expand(12, -1, -1, -1), rng())
    assert len({tuple(image.flatten().tolist()) for image in lr}) == 12
    loss = (lr - F.avg_pool2d(photographs(1), 4)).abs().mean((1, 2, 3))
    assert loss.max() > 1.3 * loss.min()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 3, 8, 12), (5, 1, 24, 40), (13, 3, 36, 36)])
def test_sizes_channels_and_batches_of_all_kinds(name, shape):
    hr = torch.rand(*shape, generator=rng())
    lr = degradation(name, 2)(hr, rng(3))
    assert lr.shape == (*shape[:2], shape[2] // 2, shape[3] // 2)
    assert torch.equal(lr, (lr * 255).round() / 255) and lr.min() >= 0 and lr.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_flat_images_stay_flat_to_the_border_without_noise(name):
    # A seam, or anything from beyond the images, would show.
    lr = quiet(name)(torch.full((12, 3, 48, 64), 0.5), rng())
    assert (lr - 0.5).abs().max() * 255 < 2.1


@pytest.mark.parametrize("name", NAMES)
def test_nothing_drifts(name):
    """A ramp of 2 levels a pixel, made small and compared with its own LR, moves by less than 0.05 HR pixels."""
    n, side, scale = 24, 96, 4
    ramp = (2 * torch.arange(float(side)) / 255).expand(n, 3, side, side)
    inside = slice(6, -6)
    for rising in (ramp, ramp.transpose(2, 3)):
        # Twice, rising and falling: H.264's colours may be off by part of a level, which is no movement.
        off = [
            (quiet(name)(hr, rng(1)) - F.avg_pool2d(hr, scale))[..., inside, inside].mean((1, 2, 3)) * 255
            for hr in (rising, rising.flip(2, 3))
        ]
        moved = (off[0] - off[1]).abs() / 4  # (n,), in HR pixels
        assert moved.mean() < 0.05, moved
        assert moved.max() < 0.2, moved


@pytest.mark.parametrize("name", NAMES)
def test_validation_is_the_same_whatever_else_there_is(name):
    made, hr = degradation(name), photographs(3)
    lr = made.validation(hr)
    torch.manual_seed(99)
    made(hr, rng(7))
    assert torch.equal(made.validation(hr[1:2]), lr[1:2])
    assert torch.equal(degradation(name).validation(hr.flip(0)), lr.flip(0))
    assert lr.shape == (3, 3, 16, 16)


def test_frames_of_a_validation_clip_differ_in_their_noise_alone():
    made, hr = degradation("classical"), torch.full((1, 3, 64, 64), 0.5)
    first, second = made.validation(hr), made.validation(hr, frame=1)
    assert not torch.equal(first, second)
    assert first.std().item() == pytest.approx(second.std().item(), rel=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_half_precision_and_memory_layout_change_nothing(name):
    made, hr = degradation(name), (photographs(4) * 255).round() / 255
    expected = made(hr, rng())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(hr, rng()), expected)
    channels_last = made(hr.contiguous(memory_format=torch.channels_last), rng())
    assert (channels_last - expected).abs().mean() * 255 < 0.05
    assert made(hr.half(), rng()).dtype == torch.float32
    assert not made(hr.requires_grad_(), rng()).requires_grad


def test_clips_share_their_parameters_and_not_their_noise():
    made = degradation("video")
    parameters = made.draw(3, 5, rng())
    lens, motion, _, noise, _, codec = parameters
    for shared in (lens["kernel"], noise["sigma"], noise["grey"], codec["crf"]):
        by_clip = shared.unflatten(0, (3, 5))
        assert torch.equal(by_clip, by_clip[:, :1].expand_as(by_clip))
        assert len(by_clip.flatten(1).double().square().mean(1).unique()) > 1
    steps = motion["kernel"].unflatten(0, (3, 5)).diff(dim=1).abs().sum((2, 3))
    moving = motion["applied"].unflatten(0, (3, 5))[:, 0]
    assert (steps[moving] > 0).all() and (steps[moving] < 1.2).all()  # 2: nothing in common

    still = photographs(1).expand(8, -1, -1, -1)
    stages = [{"name": "resize", "of": "lr"}, {"name": "noise", "gaussian": [5, 20]}]
    lr = Pipeline(4, stages)(still, rng(), frames=4) * 255
    clips = lr.unflatten(0, (2, 4))
    assert (clips.diff(dim=1).abs().mean((1, 2, 3, 4)) > 1).all()
    levels = (clips - clips.mean(1, keepdim=True)).std((1, 2, 3, 4))
    assert (levels[0] - levels[1]).abs() > 0.3


def test_clips_are_compressed_as_clips():
    """In a still clip x264 takes all but the first frame from it; as images, every frame is another's stranger."""
    stages = [{"name": "resize", "of": "lr", "modes": {"area": 1}}, {"name": "h264", "crf": [30, 30]}]
    made = Pipeline(2, stages)
    clip = photographs(1, 96).expand(6, -1, -1, -1)
    lr = made(clip, rng(), frames=6)
    assert (lr.diff(dim=0).abs().mean() * 255) < 1
    assert made.apply(clip, made.draw(2, 3, rng()), rng(), frames=3).shape == (6, 3, 48, 48)


def test_lr_is_made_of_sharpened_hr_and_the_target_is_sharpened():
    stages = [{"name": "resize", "of": "lr", "modes": {"area": 1}}]
    hr = photographs(2)
    sharp, plain = Pipeline(4, stages, usm=True), Pipeline(4, stages)
    assert torch.equal(plain.target(hr), hr)
    assert torch.equal(sharp.target(hr), sharpen(hr)) and not torch.equal(sharpen(hr), hr)
    torch.testing.assert_close(sharp(hr), F.avg_pool2d(sharpen(hr), 4), atol=0.51 / 255, rtol=0)
    assert (sharp.pool_size, degradation("real_esrgan").pool_size, degradation("bicubic").pool_size) == (0, 180, 0)


def test_the_published_table_is_the_files():
    made = degradation("real_esrgan")
    assert made.usm and made.pool_size == 180
    lens, resize, noise, jpeg, blur, again, _, last = made.steps
    assert (lens.sigma, lens.sinc, lens.probability, lens.size) == ([0.2, 3], 0.1, 1, (7, 21))
    assert (blur.sigma, blur.sinc, blur.probability) == ([0.2, 1.5], 0.1, 0.8)
    assert (resize.kinds, resize.factor) == ([0.2, 0.7, 0.1], [0.15, 1.5])
    assert (again.kinds, again.factor, again.of) == ([0.3, 0.4, 0.3], [0.3, 1.2], "lr")
    assert (noise.gaussian, noise.poisson) == ([1, 30], [0.05, 3])
    assert (noise.gaussian_probability, noise.grey_probability) == (0.5, 0.4)
    assert jpeg.quality == last.groups[1][0].quality == [30, 95]
    assert last.groups[0][1].probability == 0.8


@pytest.mark.parametrize("name", ["realesrnet_x4", "realesrgan_x4"])
def test_the_published_recipes_use_it(name):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        recipe = OmegaConf.to_container(compose("train", [f"experiment={name}"]))
    assert recipe["degradation"] == config("real_esrgan")
    assert (recipe["scale"], recipe["data"]["batch_size"], recipe["data"]["crop"]) == (4, 48, 256)
    assert recipe["loss"]["terms"]["pixel"] == {"name": "l1", "weight": 1.0}
    if name == "realesrgan_x4":
        assert recipe["loss"]["discriminator"]["name"] == "unet"
        layers = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
        assert recipe["loss"]["terms"]["perceptual"]["layers"] == layers
        assert recipe["loss"]["terms"]["adversarial"] == {
            "name": "vanilla", "weight": 0.1, "label_smoothing": 0.0, "start": 0, "ramp": 0
        }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stages": []}, "give a list of mappings, not empty"),
        ({"stages": {"name": "jpeg"}}, "its stages is .*: give a list"),
        ({"stages": [{"name": "jpg"}]}, "stages.0.name is 'jpg': give .*jpeg"),
        ({"pool": -1}, "pool"),
        ({"stagess": []}, "did you mean stages"),
    ],
)
def test_mistakes_in_a_file_get_one_line(changes, says):
    with pytest.raises(SRError, match=says):
        degradation("real_esrgan", **changes)


def test_a_description_names_every_step_that_was_applied():
    made = degradation("real_esrgan")
    parameters = made.draw(4, 1, rng())
    for i in range(4):
        text = made.describe(parameters, i)
        assert "jpeg" in text and " x" in f" {text}" and ("gauss" in text or "poisson" in text)


@pytest.mark.parametrize("name", NAMES)
def test_opencv_gives_nearly_the_tensors_lr_but_for_the_noise(name, monkeypatch):
    made, hr = quiet(name, jpeg=False), photographs(14)  # JPEG's own test says by how much it differs
    by_image = made(hr, rng())
    monkeypatch.setattr(Canvas, "per_image", False)
    assert (by_image - made(hr, rng())).abs().mean() * 255 < (0.3 if name == "video" else 0.01)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_too_are_decided_by_the_generators_state(name, monkeypatch):
    monkeypatch.setattr(Canvas, "per_image", False)
    made, hr = degradation(name), photographs(5)
    lr = made(hr, rng(1))
    assert torch.equal(lr, made(hr, rng(1))) and not torch.equal(lr, made(hr, rng(2)))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing_and_stays(threads):
    made, hr, before = degradation("real_esrgan"), photographs(4), torch.get_num_threads()
    expected = made(hr, rng())
    torch.set_num_threads(threads)
    try:
        assert torch.equal(made(hr, rng()), expected)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", NAMES)
def test_gpu_gives_nearly_the_cpus_lr_but_for_the_noise(name, monkeypatch):
    monkeypatch.setattr(Canvas, "per_image", False)
    made, hr = quiet(name), photographs(6)
    on_cpu = made(hr, rng())
    on_gpu = made(hr.cuda(), rng()).cpu()
    assert (on_cpu - on_gpu).abs().mean() * 255 < 0.3


def test_a_share_of_lr_is_plain_bicubic_and_the_rest_as_without():
    stages = [{"name": "blur", "kinds": {"iso": 1}, "sigma": [1, 3]}]
    plain, mixed = (
        build("degradation", DEGRADATIONS, {"name": "mine", "stages": stages, "bicubic": share}, scale=4)
        for share in (0.0, 0.3)
    )
    hr = torch.randint(0, 256, (400, 3, 16, 16), generator=torch.Generator().manual_seed(0)) / 255
    lr, other = (one(hr, torch.Generator().manual_seed(1), 2) for one in (plain, mixed))
    bicubic = imresize(hr, 1 / 4)
    is_bicubic, as_before = ((other == lr_).flatten(1).all(1) for lr_ in (bicubic, lr))
    assert (is_bicubic | as_before).all() and torch.equal(is_bicubic[::2], is_bicubic[1::2])
    assert is_bicubic.double().mean().item() == pytest.approx(0.3, abs=0.08)
    assert torch.equal(mixed.validation(hr[:2]), plain.validation(hr[:2]))
