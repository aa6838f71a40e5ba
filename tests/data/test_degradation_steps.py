"""Every step of degradations against an independent reference."""

import io
import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image

from sr_experiments.data.degradations.steps import STEPS, build_step, kernels
from sr_experiments.data.degradations.steps.blur import FAMILIES, convolve, convolve_tensor
from sr_experiments.data.degradations.steps.canvas import Canvas, join
from sr_experiments.data.degradations.steps.jpeg import jpeg, real_jpeg
from sr_experiments.data.degradations.steps.poisson import SHARES, SLOTS, first_count, poisson, table
from sr_experiments.data.degradations.steps.resize import MODES, interpolation
from sr_experiments.data.degradations.steps.sharpen import sharpen
from sr_experiments.errors import SRError


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def canvas_of(images, frames=1, lr_size=(8, 8)):
    """Images (C, h, w) of any sizes on one canvas; what lies beyond them is far off any image's values."""
    heights, widths = (torch.tensor([image.shape[d] for image in images]) for d in (1, 2))
    pixels = torch.full((len(images), images[0].shape[0], int(heights.max()) + 3, int(widths.max()) + 5), 777.0)
    for i, image in enumerate(images):
        pixels[i, :, : image.shape[1], : image.shape[2]] = image
    return Canvas(pixels, heights, widths, lr_size, frames)


@pytest.fixture(params=["one by one", "tensors"])
def each_path(request, monkeypatch):
    """What a CPU does with OpenCV, and what a GPU does."""
    monkeypatch.setattr(Canvas, "one_by_one", request.param == "one by one")


def image_of(canvas, i):
    return canvas.pixels[i, :, : canvas.heights[i], : canvas.widths[i]]


def noise_images(*sizes, channels=3, seed=0):
    return [torch.rand(channels, h, w, generator=rng(seed + i)) for i, (h, w) in enumerate(sizes)]


def photograph(name="astronaut"):
    return torch.from_numpy(getattr(skimage.data, name)().copy()).permute(2, 0, 1).float() / 255


# -- kernels -------------------------------------------------------------------------------------------------


def test_isotropic_gaussian_is_scipys():
    sigma = torch.tensor([0.5, 1.3, 3.0], dtype=torch.float64)
    distance = kernels.elliptic_distance(sigma, sigma, torch.zeros(3), 21)
    made = kernels.normalised(kernels.gaussian(distance, torch.ones(3)))
    point = np.zeros((21, 21))
    point[10, 10] = 1
    for kernel, s in zip(made, sigma.tolist(), strict=True):
        expected = scipy.ndimage.gaussian_filter(point, s, radius=10)
        np.testing.assert_allclose(kernel.numpy(), expected, atol=1e-9)


def test_anisotropic_families_are_their_formulas_pixel_by_pixel():
    sigma_x, sigma_y, angle, beta = 2.5, 0.8, 0.7, 1.7
    along = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(along @ np.diag([sigma_x**2, sigma_y**2]) @ along.T)
    arguments = (torch.tensor([v], dtype=torch.float64) for v in (sigma_x, sigma_y, angle))
    distance = kernels.elliptic_distance(*arguments, 7)
    shape = torch.tensor([beta], dtype=torch.float64)
    gaussian, plateau = kernels.gaussian(distance, shape)[0], kernels.plateau(distance, shape)[0]
    for y in range(-3, 4):
        for x in range(-3, 4):
            q = np.array([x, y]) @ inverse @ np.array([x, y])
            assert gaussian[y + 3, x + 3].item() == pytest.approx(math.exp(-0.5 * q**beta), abs=1e-12)
            assert plateau[y + 3, x + 3].item() == pytest.approx(1 / (q**beta + 1), abs=1e-12)


@pytest.mark.parametrize("size", [7, 21])
def test_sinc_is_the_circular_low_pass_filter_of_scipys_bessel_function(size):
    cutoff = 1.9
    made = kernels.normalised(kernels.sinc(torch.tensor([cutoff], dtype=torch.float64), 21), torch.tensor([size]))
    axis = np.arange(size) - size // 2
    radius = np.hypot(*np.meshgrid(axis, axis))
    with np.errstate(invalid="ignore"):
        expected = cutoff * scipy.special.j1(cutoff * radius) / (2 * np.pi * radius)
    expected[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    margin = (21 - size) // 2
    np.testing.assert_allclose(made[0].numpy(), np.pad(expected / expected.sum(), margin), rtol=0, atol=1e-7)


def test_motion_and_disk_cover_what_they_should():
    still = kernels.normalised(kernels.motion(torch.zeros(1), torch.zeros(1), 21))
    assert torch.allclose(still, kernels.pulse(1, 21))
    across = kernels.normalised(kernels.motion(torch.tensor([8.0]), torch.zeros(1), 21))[0]
    assert across.sum(1).nonzero().flatten().tolist() == [10]  # one row
    assert across[10].nonzero().flatten().tolist() == list(range(6, 15))  # 4 pixels to each side
    turned = kernels.normalised(
        kernels.motion(torch.tensor([8.0]).double(), torch.tensor([math.pi / 2], dtype=torch.float64), 21)
    )[0]
    assert torch.allclose(turned, across.T, atol=1e-9)
    area = kernels.disk(torch.tensor([6.0]), 21).sum()
    assert area.item() == pytest.approx(math.pi * 36, rel=0.01)


@pytest.mark.parametrize(
    "step",
    [
        {"name": "blur", "kinds": dict.fromkeys(FAMILIES, 1), "sigma": [0.2, 3], "sinc": 0.2},
        {"name": "sinc", "probability": 0.8},
        {"name": "motion", "length": [0, 15]},
        {"name": "defocus", "radius": [0, 6]},
    ],
    ids=lambda step: step["name"],
)  # fmt: skip
def test_drawn_kernels_sum_to_1_are_symmetric_and_of_odd_sizes(step):
    drawn = build_step(step).draw(60, 1, rng())
    kernel = drawn["kernel"]
    torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(kernel, kernel.flip(1, 2), atol=1e-12, rtol=0)
    reach = (kernel.abs().amax(1) > 0).sum(1)
    assert reach.max() <= 21 and (reach % 2 == 1).all()
    assert len(kernel.flatten(1).std(1).unique()) > 40  # each its own


def test_blur_draws_its_families_as_often_as_asked():
    kinds = dict(zip(FAMILIES, (0.45, 0.25, 0.12, 0.03, 0.12, 0.03), strict=True))
    step = build_step({"name": "blur", "kinds": kinds, "sigma": [0.2, 3], "sinc": 0.1, "probability": 0.8})
    drawn = step.draw(5000, 1, rng())
    shares = torch.bincount(drawn["kind"], minlength=6) / 5000
    torch.testing.assert_close(shares, torch.tensor(list(kinds.values())), atol=0.02, rtol=0)
    assert drawn["ringing"].double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert drawn["applied"].double().mean().item() == pytest.approx(0.8, abs=0.02)
    assert drawn["sigma_x"].min() >= 0.2 and drawn["sigma_x"].max() <= 3


@pytest.mark.usefixtures("each_path")
def test_each_image_is_blurred_by_its_own_kernel_over_its_own_mirrored_borders():
    images = noise_images((24, 31), (40, 12), (13, 9), (33, 33))
    step = build_step({"name": "blur", "kinds": dict.fromkeys(FAMILIES, 1), "sigma": [0.5, 3]})
    kernel = step.draw(4, 1, rng(3))["kernel"]
    kernel[3] = kernels.normalised(kernel[3:, 7:14, 7:14].new_ones(1, 21, 21))[0]  # and a large one
    canvas = canvas_of(images)
    blurred = canvas.with_pixels(convolve(canvas, kernel))
    for i, image in enumerate(images):
        expected = [scipy.ndimage.correlate(c.numpy(), kernel[i].numpy(), mode="mirror") for c in image]
        np.testing.assert_allclose(image_of(blurred, i).numpy(), np.stack(expected), atol=2e-5)


@pytest.mark.usefixtures("each_path")
def test_images_smaller_than_the_kernel_are_mirrored_as_often_as_it_takes():
    flat = canvas_of([torch.full((3, 4, 5), 0.4), torch.full((3, 1, 2), 0.6)])
    wide = kernels.normalised(torch.ones(2, 21, 21, dtype=torch.float64))
    blurred = flat.with_pixels(convolve(flat, wide))
    assert torch.allclose(image_of(blurred, 0), torch.tensor(0.4)) and torch.allclose(
        image_of(blurred, 1), torch.tensor(0.6)
    )


def test_opencv_blurs_as_the_tensors_do():
    images = noise_images((64, 50), (9, 70), (33, 33), (40, 12), (70, 70), (12, 12)) * 8
    kinds = dict.fromkeys(FAMILIES, 1)
    step = build_step({"name": "blur", "kinds": kinds, "sigma": [0.2, 3], "sinc": 0.2, "probability": 0.9})
    kernel = step.draw(48, 1, rng(4))["kernel"]
    canvas = canvas_of(images)
    made = canvas.with_pixels(convolve(canvas, kernel))
    tensors = canvas.with_pixels(convolve_tensor(canvas, kernel, kernels.reach(kernel, 0)))
    for i in range(48):
        torch.testing.assert_close(image_of(made, i), image_of(tensors, i), atol=1e-5, rtol=0)


def test_the_reach_of_a_kernel_leaves_out_no_more_than_is_negligible():
    kernel = kernels.pulse(3, 21)
    kernel[1, 10, 13] = kernel[2, 0, 0] = 1e-3
    kernel[1, 0, 10] = -1e-6
    assert kernels.reach(kernel, 5e-6).tolist() == [0, 3, 10]
    assert kernels.reach(kernel, 0).tolist() == [0, 10, 10]


# -- resize --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_path")
@pytest.mark.parametrize("factor", [0.15, 0.41, 0.77, 1.0, 1.13, 1.5])
def test_resize_is_interpolate_of_each_image(factor):
    images = noise_images((64, 50), (37, 41), (64, 64), (20, 64), (33, 33), (21, 57))
    mode = torch.tensor([0, 1, 2, 0, 1, 2])
    step = build_step({"name": "resize", "factor": [0.1, 2]})
    parameters = {"factor": torch.full((6,), factor, dtype=torch.float64), "mode": mode}
    made = step.apply(canvas_of(images), parameters, rng())
    for i, image in enumerate(images):
        size = [math.floor(side * factor) for side in image.shape[1:]]
        arguments = {} if mode[i] == 0 else {"align_corners": False}
        expected = F.interpolate(image[None], size=size, mode=MODES[int(mode[i])], **arguments)[0]
        torch.testing.assert_close(image_of(made, i), expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("each_path")
def test_each_image_has_its_own_factor_and_all_come_back_to_one_size():
    images = noise_images(*[(48, 40)] * 16)
    up_down = build_step({"name": "resize", "kinds": {"up": 0.2, "down": 0.7, "keep": 0.1}, "factor": [0.15, 1.5]})
    canvas = canvas_of(images, lr_size=(12, 10))
    small = up_down.apply(canvas, up_down.draw(16, 1, rng()), rng())
    assert len(small.heights.unique()) > 8
    back = build_step({"name": "resize", "of": "lr"})
    done = back.apply(small, back.draw(16, 1, rng()), rng())
    assert done.pixels.shape == (16, 3, 12, 10)
    assert done.pixels.max() < 2  # nothing from beyond the images


def test_resize_draws_up_down_and_keep_as_often_as_asked():
    step = build_step({"name": "resize", "kinds": {"up": 0.2, "down": 0.7, "keep": 0.1}, "factor": [0.15, 1.5]})
    factor = step.draw(20000, 1, rng())["factor"]
    assert (factor > 1).double().mean().item() == pytest.approx(0.2, abs=0.012)
    assert (factor == 1).double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert factor.min() >= 0.15 and factor.max() <= 1.5


@pytest.mark.parametrize("mode", range(3))
def test_resized_rows_of_weights_sum_to_1_and_centres_stay(mode):
    for old, new in ((64, 41), (50, 73), (33, 8), (128, 32)):
        matrix = interpolation(torch.tensor([old]), torch.tensor([new]), torch.tensor([mode]), old, torch.device("cpu"))
        torch.testing.assert_close(matrix.sum(2), torch.ones(1, new))
        places = (matrix[0].double() @ (torch.arange(old).double() + 0.5)).mean() / old
        assert places.item() == pytest.approx(0.5, abs=1e-6)


# -- noise ---------------------------------------------------------------------------------------------------


def noise(level=0.5, n=4, **arguments):
    """What the step adds to flat images, (N, 3, 200, 200)."""
    step = build_step({"name": "noise", **arguments})
    canvas = canvas_of([torch.full((3, 200, 200), level)] * n)
    return torch.stack([image_of(step.apply(canvas, step.draw(n, 1, rng()), rng(1)), i) for i in range(n)]) - level


@pytest.mark.usefixtures("each_path")
def test_gaussian_noise_has_the_sigma_of_each_image():
    step = build_step({"name": "noise", "gaussian": [1, 30]})
    drawn = step.draw(6, 1, rng())
    canvas = canvas_of([torch.full((3, 200, 200), 0.5)] * 6)
    made = step.apply(canvas, drawn, rng(1))
    for i in range(6):
        added = (image_of(made, i) - 0.5) * 255
        assert added.std().item() == pytest.approx(drawn["sigma"][i].item(), rel=0.02)
        assert abs(added.mean().item()) < 4 * drawn["sigma"][i].item() / 120000**0.5


@pytest.mark.usefixtures("each_path")
def test_poisson_noise_has_the_variance_of_counted_photons():
    # A ramp of 100 levels counts 2^7 = 128 photons at white.
    ramp = (torch.arange(100.0) / 255).expand(3, 4000, 100)
    step = build_step({"name": "noise", "gaussian": [0, 0], "poisson": [1, 1], "gaussian_probability": 0})
    made = step.apply(canvas_of([ramp]), step.draw(1, 1, rng()), rng(1))
    added = image_of(made, 0) - ramp
    for level in (10, 50, 90):
        column = added[:, :, level]
        assert column.var().item() == pytest.approx(level / 255 / 128, rel=0.05)
        assert abs(column.mean().item()) < 4 * (level / 255 / 128 / 12000) ** 0.5


def test_the_table_of_poisson_numbers_is_scipys_distribution():
    entries = table(torch.device("cpu")).view(9, 256, SLOTS)
    own, other = (entries >> 8).double() / SHARES / SLOTS, (entries & 255).long()
    made = own.scatter_add(2, other, 1 / SLOTS - own)
    for exponent in range(9):
        levels = torch.arange(256)
        first = first_count(levels, torch.tensor(exponent))[:, None]
        mean = levels.numpy()[:, None] / 255 * 2**exponent
        expected = scipy.stats.poisson.pmf((first + torch.arange(SLOTS)).numpy(), mean)
        np.testing.assert_allclose(made[exponent].numpy(), expected, atol=1e-8)


@pytest.mark.parametrize(("level", "exponent"), [(0, 8), (3, 0), (90, 5), (255, 7), (200, 8), (255, 8)])
def test_poisson_numbers_are_scipys(level, exponent):
    levels = torch.full((2, 1, 300, 300), level, dtype=torch.int32)
    counted = poisson(levels, torch.tensor([exponent, exponent]), rng())
    assert not level or not torch.equal(counted[0], counted[1])
    values = np.sort(counted.flatten().numpy())
    mean = level / 255 * 2**exponent
    places = np.arange(values.max() + 1)
    empirical = np.searchsorted(values, places, side="right") / len(values)
    assert np.abs(empirical - scipy.stats.poisson.cdf(places, mean)).max() < 0.006


@pytest.mark.usefixtures("each_path")
def test_poisson_noise_is_scaled():
    one, two = (noise(n=1, gaussian=[0, 0], poisson=[s, s], gaussian_probability=0) for s in (0.01, 0.02))
    torch.testing.assert_close(two, 2 * one, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("each_path")
@pytest.mark.parametrize("kind", [1.0, 0.0], ids=["gaussian", "poisson"])
def test_grey_noise_is_the_same_in_all_channels_and_colour_noise_is_not(kind):
    arguments = {"gaussian": [10, 10], "poisson": [0.1, 0.1], "gaussian_probability": kind}
    grey = noise(grey_probability=1.0, **arguments)
    assert torch.allclose(grey[:, 0], grey[:, 1], atol=1e-6) and torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)
    colour = noise(grey_probability=0.0, **arguments)
    assert abs(np.corrcoef(colour[:, 0].flatten(), colour[:, 1].flatten())[0, 1]) < 0.02
    assert abs(np.corrcoef(grey[0, 0].flatten(), grey[1, 0].flatten())[0, 1]) < 0.02  # each image its own


@pytest.mark.usefixtures("each_path")
def test_noise_is_clipped_and_may_be_left_out():
    added = noise(level=1.0, gaussian=[30, 30])
    assert added.max() <= 0
    assert torch.equal(noise(gaussian=[30, 30], probability=0.0), torch.zeros(4, 3, 200, 200))


# -- JPEG ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 85, 95, 100])
@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_jpeg_is_pillows_within_half_a_level_on_average(name, quality):
    whole = photograph(name)
    sizes = ((128, 128), (125, 131), (64, 50), (17, 16), (9, 7))
    images = [whole[:, 60 : 60 + h, 90 : 90 + w] for h, w in sizes]
    canvas = canvas_of(images)
    made = canvas.with_pixels(jpeg(canvas, torch.full((len(images),), float(quality))))
    errors = []
    for i, image in enumerate(images):
        buffer = io.BytesIO()
        levels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
        expected = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float()
        errors.append((image_of(made, i) * 255 - expected).abs().mean().item())
    # Of few pixels, one coefficient that is rounded otherwise is much.
    assert np.mean(errors[:3]) < 0.5 and max(errors) < 2.5


def test_each_image_has_its_own_quality():
    image = photograph()[:, :64, :64]
    made = jpeg(canvas_of([image] * 3), torch.tensor([30.0, 60.0, 90.0]))[..., :64, :64]
    errors = (made - image).abs().mean((1, 2, 3))
    assert errors[0] > errors[1] > errors[2] > 0
    alone = jpeg(canvas_of([image]), torch.tensor([60.0]))[..., :64, :64]
    assert torch.equal(made[1:2], alone)


def test_grey_images_are_compressed_as_grey_ones():
    image = photograph()[1:2, :63, :40]
    canvas = canvas_of([image])
    made, real = (f(canvas, torch.tensor([50.0]))[..., :63, :40] for f in (jpeg, real_jpeg))
    assert (made - real).abs().mean() * 255 < 0.3


def test_real_true_is_pillow_itself():
    image = photograph()[:, :40, :60]
    step = build_step({"name": "jpeg", "quality": [40, 40], "real": True})
    made = image_of(step.apply(canvas_of([image]), step.draw(1, 1, rng()), rng()), 0)
    buffer = io.BytesIO()
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=40)
    assert torch.equal((made * 255).round().byte().permute(1, 2, 0), torch.from_numpy(np.array(Image.open(buffer))))


# -- H.264, sharpening, order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 1])
def test_h264_keeps_the_clip_and_loses_more_at_a_higher_crf(channels):
    still = photograph()[:channels, 100:163, 200:249]  # odd sides
    clip = [still.roll(t, 2) for t in range(4)]
    step = build_step({"name": "h264", "crf": [0, 51]})
    errors = []
    for crf in (10, 25, 45):
        parameters = {"applied": torch.ones(8, dtype=torch.bool), "crf": torch.full((8,), float(crf))}
        canvas = canvas_of([*clip, *clip], frames=4)
        made = step.apply(canvas, parameters, rng())
        assert torch.equal(made.pixels, step.apply(canvas, parameters, rng()).pixels)
        parts = torch.stack([image_of(made, i) for i in range(8)])
        assert torch.equal(parts[:4], parts[4:])
        errors.append((parts[:4].mean(1) - torch.stack(clip).mean(1)).abs().mean().item() * 255)
    assert 0 < errors[0] < 3 and errors[0] < errors[1] < errors[2] < 25


def test_sharpening_is_that_of_opencv():
    import cv2

    hr = torch.stack([photograph()[:, :150, :170], photograph("coffee")[:, 100:250, 100:270]])
    made = sharpen(hr)
    for image, sharp in zip(hr, made, strict=True):
        pixels = image.permute(1, 2, 0).numpy()
        residual = pixels - cv2.GaussianBlur(pixels, (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)
        mask = (np.abs(residual) * 255 > 10).astype(np.float32)
        soft = cv2.GaussianBlur(mask, (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)
        expected = soft * np.clip(pixels + 0.5 * residual, 0, 1) + (1 - soft) * pixels
        # A residual of just 10 levels may fall on either side of the threshold.
        assert np.abs(sharp.permute(1, 2, 0).numpy() - expected).mean() < 1e-5
    flat = torch.full((1, 3, 6, 9), 0.3)
    torch.testing.assert_close(sharpen(flat), flat)


def test_any_order_does_both_orders_each_for_its_images():
    groups = [[{"name": "resize", "of": "lr", "modes": {"area": 1}}], [{"name": "jpeg", "quality": [50, 50]}]]
    step = build_step({"name": "any_order", "groups": groups})
    image = photograph()[:, :32, :32]
    drawn = step.draw(12, 1, rng())
    canvas = canvas_of([image] * 12, lr_size=(16, 16))
    made = step.apply(canvas, drawn, rng())
    resize_first = real_jpeg(canvas_of([F.avg_pool2d(image, 2)]), torch.tensor([50.0]))[0, :, :16, :16]
    jpeg_first = F.avg_pool2d(real_jpeg(canvas_of([image]), torch.tensor([50.0]))[0, :, :32, :32], 2)
    assert 2 < drawn["order"].sum() < 10
    for i, order in enumerate(drawn["order"].tolist()):
        torch.testing.assert_close(image_of(made, i), (resize_first, jpeg_first)[order], atol=1e-5, rtol=0)


def test_taking_images_apart_and_joining_them_changes_nothing():
    images = noise_images((5, 7), (3, 9), (8, 2), (4, 4))
    canvas = canvas_of(images)
    parts = [(i, canvas.take(i)) for i in (torch.tensor([2, 0]), torch.tensor([3]), torch.tensor([1]))]
    joined = join(parts)
    assert all(torch.equal(image_of(joined, i), image) for i, image in enumerate(images))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"name": "blurr"}, "unknown degradation step 'blurr'.*jpeg"),
        ({"name": "jpeg", "quallity": [1, 2]}, "did you mean 'quality'"),
        ({"name": "jpeg"}, "needs quality"),
        ({"name": "jpeg", "quality": [95, 30]}, "quality of jpeg must ascend"),
        ({"name": "jpeg", "quality": 50}, "give a list"),
        ({"name": "jpeg", "quality": [30, 101]}, "1 ... 100"),
        ({"name": "blur", "kinds": {"isso": 1}, "sigma": [1, 2]}, "unknown kind of blur 'isso'"),
        ({"name": "blur", "kinds": {"iso": 1}, "sigma": [0, 2]}, "sigma of blur"),
        ({"name": "blur", "kinds": {"iso": 1}, "sigma": [1, 2], "size": [8, 20]}, "odd"),
        ({"name": "noise", "gaussian": [1, 2], "probability": 2}, "between 0 and 1"),
        ({"name": "resize", "factor": [1.2, 1.5]}, "enclose 1"),
        ({"name": "resize", "of": "hr"}, "of input or of lr"),
        ({"name": "any_order", "groups": [[{"name": "jpeg", "quality": [30, 95]}]]}, "two or three"),
        ("jpeg", "a step and its arguments"),
    ],
)
def test_mistakes_in_a_step_get_one_line(config, says):
    with pytest.raises(SRError, match=says):
        build_step(config)


def test_every_step_says_what_it_did():
    made = {
        "blur": {"kinds": {"iso": 1}, "sigma": [1, 2]},
        "motion": {"length": [1, 2]},
        "defocus": {"radius": [1, 2]},
        "noise": {"gaussian": [1, 2]},
        "jpeg": {"quality": [30, 95]},
        "h264": {"crf": [18, 30]},
        "any_order": {"groups": [[{"name": "sinc"}], [{"name": "resize"}]]},
    }
    for name in STEPS:
        step = build_step({"name": name, **made.get(name, {})})
        assert step.describe(step.draw(2, 1, rng()), 1)
