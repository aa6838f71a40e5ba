"""What every degradation promises, and the blur of blur_down against SciPy's."""

import numpy as np
import pytest
import torch
import yaml
from scipy.ndimage import gaussian_filter

from sr_experiments.data.cubic import resize_weights
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.degradations.blur_down import gaussian_weights
from sr_experiments.data.resize import bicubic_upsample
from sr_experiments.errors import SRError
from sr_experiments.registry import build
from tests.conftest import ROOT

CONFIGS = [yaml.safe_load(p.read_text()) for p in sorted((ROOT / "conf/degradation").glob("*.yaml"))]
FIXED = ["bicubic", "blur_down"]  # nothing about them is random


def degradation(name, scale=4, **arguments):
    return build("degradation", DEGRADATIONS, {"name": name, **arguments}, scale=scale)


def images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape)).float() / 255


def blurred(hr, sigma=1.5):
    """SciPy's Gaussian over rows and columns of images (N, C, H, W) in [0, 1], in 255ths."""
    radius = int(3 * sigma)
    levels = (hr.double().numpy() * 255).round()
    return gaussian_filter(levels, (0, 0, sigma, sigma), mode="mirror", truncate=radius / sigma)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c["name"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_degradation_file_makes_8_bit_lr_of_a_batch(config, scale):
    made = build("degradation", DEGRADATIONS, config, scale=scale)
    hr = images(2, 3, 12 * scale, 10 * scale)
    for lr in (made(hr, torch.Generator().manual_seed(0)), made.validation(hr)):
        assert lr.shape == (2, 3, 12, 10) and lr.dtype == torch.float32
        assert torch.equal(lr, (lr * 255).round() / 255)
    assert torch.equal(made.validation(hr), made.validation(hr))
    assert made.phase in ("centred", "corner")


@pytest.mark.parametrize(("scale", "sigma"), [(4, 1.5), (2, 1.5), (3, 1.5), (4, 0.8), (4, 2.0)])
def test_blur_down_is_scipys_gaussian_at_every_scale_th_pixel(scale, sigma):
    hr = images(2, 3, 24, 36)
    expected = blurred(hr, sigma)[..., ::scale, ::scale]
    made = degradation("blur_down", scale, sigma=sigma)
    np.testing.assert_array_equal((made(hr) * 255).round().numpy(), np.floor(expected + 0.5))
    rows, columns = (gaussian_weights(size, scale, sigma, int(3 * sigma)) for size in (24, 36))
    unrounded = rows @ (hr.double().numpy() * 255).round() @ columns.T
    np.testing.assert_allclose(unrounded, expected, rtol=0, atol=1e-9)


def test_the_published_kernel_has_9_taps():
    (row,) = np.nonzero(gaussian_weights(64, 4, 1.5, 4)[8])
    assert list(row) == list(range(28, 37))


@pytest.mark.parametrize("size", [4, 8, 64])  # 4: smaller than the kernel, mirrored repeatedly
@pytest.mark.parametrize("name", FIXED)
def test_flat_images_stay_flat_to_the_border(name, size):
    for level in (0, 1, 100, 254, 255):
        hr = torch.full((1, 3, size, size), level / 255)
        assert torch.equal(degradation(name)(hr), hr[..., ::4, ::4])


def test_border_pixels_are_those_of_the_mirrored_image():
    hr = images(1, 3, 32, 32)
    mirrored = torch.nn.functional.pad(hr, (8, 8, 8, 8), mode="reflect")
    assert torch.equal(degradation("blur_down")(mirrored)[..., 2:-2, 2:-2], degradation("blur_down")(hr))


def test_blur_down_commutes_with_flips_and_transposition():
    made = degradation("blur_down")
    hr = images(1, 3, 33, 41)  # the first and the last pixel are both LR pixels, so a flip keeps the grid
    assert torch.equal(made(hr.flip(-1)), made(hr).flip(-1))
    assert torch.equal(made(hr.flip(-2)), made(hr).flip(-2))
    assert torch.equal(made(hr.transpose(2, 3)), made(hr).transpose(2, 3))


def test_bicubic_commutes_with_flips():
    # All but for the rounding between the passes, up to one level.
    made, hr = degradation("bicubic"), images(1, 3, 32, 40)
    assert torch.equal(made(hr.flip(-1)), made(hr).flip(-1))
    assert torch.equal(made(hr.flip(-2)), made(hr).flip(-2))


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", FIXED)
def test_enlarged_in_its_phase_a_ramp_is_the_ramp_again(name, scale):
    made = degradation(name, scale)
    ramp = (2 * torch.arange(96.0) / 255).expand(1, 3, 96, 96)
    inside = slice(20, -20)
    for hr in (ramp, ramp.transpose(2, 3)):
        fitting = bicubic_upsample(made(hr), scale, made.phase)
        torch.testing.assert_close(fitting[..., inside, inside], hr[..., inside, inside], rtol=0, atol=1e-6)
        other = {"centred": "corner", "corner": "centred"}[made.phase]
        moved = bicubic_upsample(made(hr), scale, other) - hr
        # Half an LR pixel less half an HR pixel: (scale - 1) / 2 HR pixels, two levels each.
        assert moved[..., inside, inside].mean().abs().item() * 255 == pytest.approx(scale - 1, abs=0.01)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_corner_phase_keeps_lr_pixels_where_they_are(scale):
    lr = images(2, 3, 9, 11)
    sr = bicubic_upsample(lr, scale, "corner")
    assert sr.shape == (2, 3, 9 * scale, 11 * scale)
    assert torch.equal(sr[..., ::scale, ::scale], lr)
    assert torch.equal(sr, (sr * 255).round() / 255)


def test_the_corner_phase_uses_the_same_kernel():
    # Keys' a = -0.5 at a quarter, by hand: LR 0 lies on 0, HR pixel 13 at 3.25 between LR pixels 2 to 5.
    expected = np.zeros(8)
    expected[2:6] = [-0.0703125, 0.8671875, 0.2265625, -0.0234375]
    np.testing.assert_allclose(resize_weights(8, 32, 4, "corner")[13], expected, atol=1e-12)
    flat = torch.full((1, 3, 7, 9), 100 / 255)
    assert torch.equal(bicubic_upsample(flat, 4, "corner"), torch.full((1, 3, 28, 36), 100 / 255))


def test_half_precision_autocast_and_memory_layout_change_nothing():
    hr = images(2, 3, 32, 40)
    made = degradation("blur_down")
    expected = made(hr)
    for half in (hr.half(), hr.bfloat16()):
        assert made(half).dtype == torch.float32
    assert torch.equal(made(hr.half()), expected)  # 255ths survive float16
    assert torch.equal(made(hr.contiguous(memory_format=torch.channels_last)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(hr), expected)
    with torch.inference_mode():
        assert torch.equal(made(hr), expected)
    assert torch.equal(torch.cat([made(x[None]) for x in hr]), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", FIXED)
def test_gpu_gives_the_bits_of_the_cpu(name):
    hr = images(4, 3, 96, 120)
    assert torch.equal(degradation(name)(hr.cuda()).cpu(), degradation(name)(hr))


@pytest.mark.parametrize("sigma", [0, -1.5, float("nan"), float("inf")])
def test_a_blur_without_width_is_refused(sigma):
    with pytest.raises(SRError, match=r"sigma is .*: give a (finite )?number"):
        degradation("blur_down", sigma=sigma)


def test_an_unknown_phase_is_refused():
    with pytest.raises(SRError, match="centred, corner"):
        bicubic_upsample(images(1, 3, 8, 8), 4, "middle")
