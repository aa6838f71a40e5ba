"""Losses on structure, spectra, wavelets, gradients and artefacts, against other implementations.

The numbers of `test_published_implementations` are of pytorch-msssim 1.0.0, focal-frequency-loss 0.3.0 and PyWavelets
1.9.0 (`swt2`, without its normalisation) on the same pictures.
"""

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from kornia.losses import MS_SSIMLoss

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.errors import SRError
from sr_experiments.losses import LOSSES
from sr_experiments.losses.contextual import contextual_loss
from sr_experiments.losses.objective import Outputs, inputs_of
from sr_experiments.registry import build

HR = skimage.data.chelsea()[40:216, 100:276].astype(np.float64) / 255
SR = np.roll(HR, 1, axis=1) * 0.9  # darker, and a pixel to the right


def tensor(image):
    return torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float()


def value(sr=SR, hr=HR, **settings):
    return build("loss", LOSSES, settings)(tensor(sr), tensor(hr)).item()


@pytest.mark.parametrize(
    ("settings", "golden"),
    [
        ({"name": "ms_ssim"}, 0.0673118),
        ({"name": "ms_ssim", "scales": 3}, 0.0984423),
        ({"name": "focal_frequency"}, 0.0018973042),
        ({"name": "focal_frequency", "alpha": 2.0}, 0.0018567352),
        ({"name": "wavelet"}, 0.0832668245),
    ],
)
def test_published_implementations(settings, golden):
    assert value(**settings) == pytest.approx(golden, rel=2e-4)


def test_ms_ssim_uses_the_scales_that_fit():
    small = SR[:44, :44], HR[:44, :44]
    assert value(*small, name="ms_ssim") == value(*small, name="ms_ssim", scales=3)
    assert value(SR[:43], HR[:43], name="ms_ssim") == value(SR[:43], HR[:43], name="ms_ssim", scales=2)
    with pytest.raises(SRError, match="windows of 11x11 pixels: 10 are too few"):
        value(SR[:10], HR[:10], name="ms_ssim")


def test_ms_ssim_l1_by_scipy():
    def mean(image, sigma):
        return scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="constant", radius=(16, 16, 0))

    similarity = 1.0
    for sigma in (0.5, 1, 2, 4, 8):
        x, y = mean(SR, sigma), mean(HR, sigma)
        variances = mean(SR * SR, sigma) - x * x + mean(HR * HR, sigma) - y * y
        similarity *= (2 * (mean(SR * HR, sigma) - x * y) + 0.03**2) / (variances + 0.03**2)
    similarity *= (2 * x * y + 0.01**2) / (x * x + y * y + 0.01**2)
    expected = 0.84 * (1 - similarity.mean(2)) + 0.16 * mean(np.abs(SR - HR), 8).mean(2)
    assert value(name="ms_ssim_l1") == pytest.approx(expected.mean(), rel=1e-4)


def test_ms_ssim_l1_by_kornia():
    sr, hr = torch.rand(2, 3, 30, 41, requires_grad=True), torch.rand(2, 3, 30, 41)
    expected = MS_SSIMLoss(alpha=0.3, compensation=1.0)(sr, hr)
    found = build("loss", LOSSES, {"name": "ms_ssim_l1", "alpha": 0.3})(sr, hr)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    slopes = [torch.autograd.grad(loss, sr)[0] for loss in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-7)


def test_gradients_by_scipy():
    channels = (SR - HR).transpose(2, 0, 1)
    filtered = [scipy.ndimage.sobel(channel, axis, mode="nearest") / 8 for axis in (0, 1) for channel in channels]
    assert value(name="gradient") == pytest.approx(np.abs(filtered).mean(), rel=1e-5)
    variation = build("loss", LOSSES, {"name": "total_variation"})(tensor(SR)).item()
    expected = np.abs(np.diff(SR, axis=0)).mean() + np.abs(np.diff(SR, axis=1)).mean()
    assert variation == pytest.approx(expected, rel=1e-5)


def test_ldl_weighs_pixels_by_the_variance_of_their_error():
    error = np.abs(SR - HR).sum(2)
    local = scipy.ndimage.generic_filter(error, np.var, 7, mode="mirror") * 49 / 48
    weights = error.var(ddof=1) ** 0.2 * local
    closer = np.where(np.arange(176)[:, None, None] < 88, HR, 2 * SR - HR)  # the average: HR above, twice as far below
    loss = build("loss", LOSSES, {"name": "ldl"})
    found = loss(tensor(SR), tensor(HR), tensor(closer)).item()
    weights[88:] = 0  # where SR is nearer than the average
    assert found == pytest.approx((weights[..., None] * np.abs(SR - HR)).mean(), rel=1e-4)


@pytest.mark.parametrize(("kernel", "degradation"), [("bicubic", "bicubic"), ("gaussian", "blur_down")])
def test_sr_that_is_hr_is_consistent_with_lr(kernel, degradation):
    loss = build("loss", LOSSES, {"name": "consistency", "kernel": kernel})
    hr = tensor(HR)
    lr = DEGRADATIONS[degradation](4).validation(hr)
    assert loss(hr, lr).item() < 0.5 / 255  # LR is rounded
    assert loss(tensor(SR), lr).item() > 5 / 255


def test_contextual_loss_by_its_formula():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 12))  # 6 channels, 3x4 positions
    centred = [z - y.mean(1, keepdims=True) for z in (x, y)]
    unit = [z / np.linalg.norm(z, axis=0) for z in centred]
    distance = 1 - unit[0].T @ unit[1]
    w = np.exp((1 - distance / (distance.min(1, keepdims=True) + 1e-5)) / 0.5)
    similarity = (w / w.sum(1, keepdims=True)).max(0).mean()
    features = [torch.from_numpy(z).view(1, 6, 3, 4) for z in (x, y)]
    assert contextual_loss(*features, 0.5).item() == pytest.approx(-np.log(similarity), rel=1e-6)
    shuffled = features[1].flatten(2)[..., torch.randperm(12)].view(1, 6, 3, 4)
    assert contextual_loss(shuffled, features[1], 0.1).item() == pytest.approx(0, abs=1e-3)


def test_contextual_loss_compares_in_fp32_under_autocast():
    """In bf16 the distances of features that are alike are 0, and the gradient is many times as long."""
    rng = torch.Generator().manual_seed(0)
    y = 1 + 0.1 * torch.randn(1, 32, 8, 8, generator=rng).cumsum(3)
    values, gradients = [], []
    for autocast in (False, True):
        x = (y + 0.05 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = contextual_loss(x, y, 0.1)
        values.append(loss)
        gradients.append(torch.autograd.grad(loss, x)[0])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    "name",
    ["ms_ssim", "ms_ssim_l1", "fft", "focal_frequency", "wavelet", "gradient", "total_variation", "ldl", "consistency"],
)
def test_gradients_lead_to_less(name):
    loss = build("loss", LOSSES, {"name": name})
    sr, hr = tensor(SR[:48, :48]).requires_grad_(True), tensor(HR[:48, :48])
    lr = DEGRADATIONS["bicubic"](4).validation(hr)
    average = (sr.detach() + hr) / 2

    def of(image):
        outputs = Outputs(lr, hr, hr, image, sr_ema=average)
        return loss(*(outputs[key] for key in inputs_of(loss)))

    before = of(sr)
    before.backward()
    assert sr.grad.isfinite().all() and sr.grad.abs().sum() > 0
    assert of(sr.detach() - 1e-4 * sr.grad / sr.grad.abs().max()) < before
    with torch.autocast("cpu", torch.bfloat16):
        assert of(sr.detach().bfloat16().float()).item() == pytest.approx(before.item(), rel=0.05)
    if name not in ("total_variation", "consistency"):
        assert of(hr).item() == pytest.approx(0, abs=1e-6)


def test_ldl_without_an_average_is_one_line(train_py):
    outcome = train_py("+loss/terms=ldl", "optim.ema_decay=null", "logger=none", "trainer.max_steps=1")
    assert outcome.code == 2
    assert "loss.terms.ldl compares sr_ema" in outcome.err and "an image network and optim.ema_decay" in outcome.err
