"""Noise of degradations against its distributions."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
import torch

from sr_experiments.data.degradations.steps import build_step
from sr_experiments.data.degradations.steps.poisson import SHARES, SLOTS, first_count, poisson, table
from tests.data.canvases import canvas_of, image_of, rng


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
