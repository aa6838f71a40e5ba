"""PSNR and SSIM against scikit-image, with luma from its own formula; DDP by real processes."""

import numpy as np
import pytest
import torch
import yaml
from skimage import metrics as reference
from torchmetrics.functional.image import spectral_angle_mapper

from sr_experiments.errors import SRError
from sr_experiments.evaluation.metrics_config import LISTS
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.fine_detail import FineDetail
from sr_experiments.metrics.psnr import PSNR, BandwisePSNR
from sr_experiments.metrics.sam import SAM
from sr_experiments.metrics.ssim import SSIM
from sr_experiments.registry import build
from tests.conftest import ROOT


def images(n=3, size=(40, 52), seed=0):
    rng = np.random.default_rng(seed)
    hr = rng.integers(0, 256, (n, *size, 3)).astype(np.uint8)
    hr[0] = np.linspace(0, 255, size[1])[None, :, None]  # smooth, where SSIM is delicate
    sr = np.clip(hr + rng.normal(0, 12, hr.shape), 0, 255).round().astype(np.uint8)
    return sr, hr


def tensors(*arrays):
    return [torch.from_numpy(a).permute(0, 3, 1, 2).float() / 255 for a in arrays]


def matlab_y(image):
    """rgb2ycbcr's first row, from MATLAB's documentation, in float64."""
    r, g, b = (image[..., i].astype(np.float64) / 255 for i in range(3))
    return 65.481 * r + 128.553 * g + 24.966 * b + 16


@pytest.mark.parametrize("crop", [0, 2, 4])
@pytest.mark.parametrize("channels", ["y", "rgb"])
def test_psnr_and_ssim_agree_with_scikit_image(channels, crop):
    sr, hr = images()
    cut = slice(crop, -crop if crop else None)
    psnr, ssim = [], []
    for a, b in zip(sr, hr, strict=True):
        a, b = a[cut, cut], b[cut, cut]
        if channels == "y":
            a, b = matlab_y(a), matlab_y(b)
        psnr.append(reference.peak_signal_noise_ratio(b, a, data_range=255))
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        a, b = a.astype(np.float64), b.astype(np.float64)
        axis = -1 if channels == "rgb" else None
        ssim.append(reference.structural_similarity(b, a, channel_axis=axis, **options))
    for metric, expected, tolerance in ((PSNR, psnr, 1e-3), (SSIM, ssim, 1e-4)):
        ours = metric(channels=channels, crop_border=crop)
        np.testing.assert_allclose(ours.per_image(*tensors(sr, hr)).numpy(), expected, atol=tolerance)
        for i in range(len(sr)):
            ours.update(*tensors(sr[i : i + 1], hr[i : i + 1]))
        assert ours.compute().item() == pytest.approx(np.mean(expected), abs=tolerance)
        assert f"crop {crop}" in ours.convention


def test_luma_range_is_16_to_235():
    white, black = torch.ones(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    # 219 levels apart: 20 log10(255 / 219).
    assert PSNR("y").per_image(white, black).item() == pytest.approx(20 * np.log10(255 / 219), abs=1e-6)
    assert PSNR("rgb").per_image(white, black).item() == pytest.approx(0, abs=1e-9)
    assert PSNR("y").per_image(white, white).item() == float("inf")


def test_outputs_are_rounded_to_8_bits_and_clamped():
    hr = torch.full((1, 3, 16, 16), 100 / 255)
    assert PSNR("rgb").per_image(hr + 0.4 / 255, hr).item() == float("inf")
    assert PSNR("rgb").per_image(torch.full_like(hr, 1.7), torch.ones_like(hr)).item() == float("inf")


def test_mean_is_over_images_not_over_pooled_errors():
    hr = torch.zeros(2, 3, 16, 16)
    sr = hr.clone()
    sr[0], sr[1] = 10 / 255, 100 / 255
    metric = PSNR("rgb")
    metric.update(sr, hr)
    expected = np.mean([20 * np.log10(255 / 10), 20 * np.log10(255 / 100)])
    assert metric.compute().item() == pytest.approx(expected, abs=1e-5)


def test_grey_is_rgb_with_equal_channels():
    sr, hr = (x[:, :1] for x in tensors(*images()))
    for metric in (PSNR("y"), SSIM("y")):
        torch.testing.assert_close(
            metric.per_image(sr, hr), metric.per_image(*(x.expand(-1, 3, -1, -1) for x in (sr, hr)))
        )


def test_fine_detail_is_the_energy_above_the_nyquist_frequency_of_lr():
    """Half the amplitude is 6.02 dB, whatever happens below a fifth of a cycle a pixel."""
    x = torch.arange(160)
    slow, fast = (torch.cos(2 * np.pi * frequency * x)[None, :].expand(1, 3, 160, -1) for frequency in (1 / 20, 1 / 5))
    hr = 0.5 + 0.2 * slow + 0.2 * fast
    metric = FineDetail(scale=4)
    for sr, expected in (
        (hr, 0.0),
        (0.5 + 0.2 * slow + 0.1 * fast, 6.02),
        (0.5 + 0.1 * slow + 0.4 * fast, 6.02),
        (0.5 + 0.0 * slow + 0.2 * fast, 0.0),
        ((0.5 + 0.2 * slow + 0.2 * fast.transpose(2, 3)), 0.0),
    ):
        assert metric.per_image(sr, hr).item() == pytest.approx(expected, abs=0.05)
    assert metric.per_image(0.5 + 0.2 * slow, hr).item() > 30
    # A fifth of a cycle a pixel is above LR's limit at scale 4 (an eighth), not at scale 2 (a quarter).
    finest = 0.1 * torch.cos(2 * np.pi / 3 * x).expand(1, 3, 160, -1)
    sr, hr = 0.5 + 0.1 * slow + finest, 0.5 + 0.1 * slow + 0.2 * fast + finest
    assert FineDetail(scale=4).per_image(sr, hr).item() == pytest.approx(10 * np.log10(5), abs=0.1)
    assert FineDetail(scale=2).per_image(sr, hr).item() < 0.1
    assert torch.isfinite(metric.per_image(torch.full((1, 3, 32, 32), 0.5), torch.full((1, 3, 32, 32), 0.2))).all()


def test_metrics_of_bands_agree_with_independent_ones():
    rng = np.random.default_rng(0)
    hr = rng.uniform(0.05, 1, (2, 6, 24, 20))
    sr = np.clip(hr + rng.normal(0, 0.05, hr.shape), 0, 1)
    hr, sr = (np.round(x * 65535).astype(np.uint16) for x in (hr, sr))
    given = [torch.from_numpy(x / 65535) for x in (sr, hr)]
    cut = np.s_[2:-2, 2:-2]
    of_bands = [
        [reference.peak_signal_noise_ratio(h[cut], s[cut], data_range=65535) for s, h in zip(*pair, strict=True)]
        for pair in zip(sr, hr, strict=True)
    ]
    np.testing.assert_allclose(BandwisePSNR(2, 16).per_image(*given), np.mean(of_bands, 1), rtol=1e-9)
    together = [
        reference.peak_signal_noise_ratio(h[:, 2:-2, 2:-2], s[:, 2:-2, 2:-2]) for s, h in zip(sr, hr, strict=True)
    ]
    np.testing.assert_allclose(PSNR("bands", 2, 16).per_image(*given), together, rtol=1e-9)
    angles = spectral_angle_mapper(*(x[..., 2:-2, 2:-2] for x in given), "none").flatten(1).mean(1)  # radians
    np.testing.assert_allclose(SAM(2, 16).per_image(*given), torch.rad2deg(angles), rtol=1e-6)
    assert "16-bit" in SAM(2, 16).convention and "degrees" in SAM().convention


def test_spectral_angles_ignore_brightness_and_know_black():
    hr = torch.tensor([1.0, 0.2, 0.6]).view(1, 3, 1, 1).expand(-1, -1, 4, 4).clone()
    assert float(SAM(bits="float").per_image(hr / 2, hr)) == pytest.approx(0, abs=1e-5)
    one, other = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    one[:, 0, 0, 0] = other[:, 1, 0, 0] = 1  # at a right angle
    one[:, 0, 0, 1] = 1  # beside black
    assert float(SAM().per_image(one, other)) == 45  # of four pixels two are at 90 degrees, two are both black


def test_metrics_are_of_the_depth_that_they_state():
    hr = torch.full((1, 3, 16, 16), 32768 / 65535, dtype=torch.float64)
    off = hr + 1 / 65535
    assert PSNR("rgb").per_image(off, hr).isinf()
    assert float(PSNR("rgb", bits=16).per_image(off, hr)) == pytest.approx(20 * np.log10(65535))
    assert float(PSNR("rgb", bits="float").per_image(hr + 1e-6, hr)) == pytest.approx(120, abs=1e-3)
    for bits, words in ((8, "8-bit"), (16, "16-bit"), ("float", "floating-point")):
        assert words in PSNR(bits=bits).convention and words in SSIM(bits=bits).convention


def test_too_small_and_unknown_say_so():
    with pytest.raises(SRError, match="too small"):
        PSNR(crop_border=8).per_image(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))
    with pytest.raises(SRError, match="11x11"):
        SSIM(crop_border=4).per_image(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))
    with pytest.raises(SRError, match="its channels is 'luma': give y, rgb or bands"):
        build("metric", METRICS, {"name": "psnr", "channels": "luma"})


def test_every_metric_file_names_a_metric():
    for path in (ROOT / "conf/metrics").glob("*.yaml"):
        config = yaml.safe_load(path.read_text())
        assert path.stem in LISTS or config["name"] in METRICS


def _rank(rank, port, results):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    metric = PSNR("y", crop_border=2)
    sr, hr = tensors(*images(n=5))
    for i in range(rank, 5, 2):
        metric.update(sr[i : i + 1], hr[i : i + 1])
    results.put((rank, metric.compute().item()))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_get_the_mean_over_all_images():
    import socket

    import torch.multiprocessing as mp

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_rank, args=(rank, port, results)) for rank in range(2)]
    for process in processes:
        process.start()
    values = [results.get(timeout=120)[1] for _ in processes]
    for process in processes:
        process.join()
    metric = PSNR("y", crop_border=2)
    metric.update(*tensors(*images(n=5)))
    assert values == pytest.approx([metric.compute().item()] * 2, abs=1e-9)
