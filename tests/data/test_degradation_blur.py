"""Kernels and blurs of degradations against SciPy, OpenCV and their formulas."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
import torch

from sr_experiments.data.degradations.steps import build_step, kernels
from sr_experiments.data.degradations.steps.blur import FAMILIES, convolve, convolve_tensor
from tests.data.canvases import canvas_of, image_of, noise_images, rng

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
    tensors = canvas.with_pixels(convolve_tensor(canvas, kernel, kernels.radius(kernel, 0)))
    for i in range(48):
        torch.testing.assert_close(image_of(made, i), image_of(tensors, i), atol=1e-5, rtol=0)


def test_the_reach_of_a_kernel_leaves_out_no_more_than_is_negligible():
    kernel = kernels.pulse(3, 21)
    kernel[1, 10, 13] = kernel[2, 0, 0] = 1e-3
    kernel[1, 0, 10] = -1e-6
    assert kernels.radius(kernel, 5e-6).tolist() == [0, 3, 10]
    assert kernels.radius(kernel, 0).tolist() == [0, 10, 10]
