"""`--denoise` removes noise before the network: of images and videos, in 8 and 16 bits, colour and grey."""

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import sample_paths
from sr_experiments.inference.denoise import Denoiser
from tests.inference.films import film, rgb, write


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_noise_is_removed(dtype, channels):
    top = np.iinfo(dtype).max
    photograph = read_image(sample_paths(("astronaut.png",))[0], min(channels, 3))[:200, :301]
    clean = photograph[..., np.arange(channels) % photograph.shape[2]] * dtype(top // 255)
    noise = np.random.default_rng(0).normal(0, 10 / 255 * top, clean.shape)
    noisy = np.clip(clean + noise, 0, top).round().astype(dtype)
    before, after = (peak_signal_noise_ratio(clean, image) for image in (noisy, Denoiser(10)(noisy)))
    assert after > before + 5


def test_blocks_leave_no_seams():
    noisy = np.random.default_rng(0).normal(128, 8, (512, 512, 1)).round().astype(np.uint8)
    steps = np.abs(np.diff(Denoiser(4)(noisy).astype(float), axis=1)).mean((0, 2))
    profile = [steps[place::16].mean() for place in range(16)]
    assert max(profile) < 1.1 * np.median(profile)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 33), (16, 200)])
def test_flat_images_of_any_size_stay(size):
    denoise = Denoiser(20)
    for level in (0, 128, 255):
        for channels in (1, 3):
            flat = np.full((*size, channels), level, np.uint8)
            np.testing.assert_array_equal(denoise(flat), flat)
            deep = flat.astype(np.uint16) * 257
            assert np.abs(denoise(deep).astype(int) - deep).max() < 16


def test_the_same_image_gives_the_same_result():
    image = np.random.default_rng(0).integers(0, 256, (33, 51, 3), dtype=np.uint8)
    first = Denoiser(10)(image)
    for seed in range(4):
        np.random.default_rng(seed).integers(0, 256, (500, 500))  # other content in memory that is free again
        np.testing.assert_array_equal(Denoiser(10)(image), first)


def test_images_and_frames_are_cleaned_before_the_network(sr, weights, tmp_path):
    noise = np.random.default_rng(0).normal(0, 10, (2, 24, 32, 3))
    frames = [np.clip(frame + noise[i], 0, 255).astype(np.uint8) for i, frame in enumerate(film(2))]
    Image.fromarray(frames[0]).save(tmp_path / "noisy.png")
    Image.fromarray(Denoiser(10)(frames[0])).save(tmp_path / "clean.png")
    arguments = ("-c", weights("msrresnet", 2), "--device", "cpu")
    for name, more in (("noisy", ("--denoise", "10")), ("clean", ())):
        done = sr("upscale", tmp_path / f"{name}.png", "-o", tmp_path / f"out_{name}.png", *more, *arguments)
        assert done.code == 0, done.err
    np.testing.assert_array_equal(read_image(tmp_path / "out_noisy.png"), read_image(tmp_path / "out_clean.png"))
    source = write(tmp_path / "in.mkv", frames, codec="ffv1", pix_fmt="yuv444p")
    for name, network in (("image", "msrresnet"), ("video", "frvsr")):
        made = {}
        for level in ("0", "10"):
            given = ("-c", weights(network, 2), "--strength", "0", "--device", "cpu", "--lossless", "--denoise", level)
            done = sr("upscale", source, "-o", tmp_path / f"{name}{level}.mkv", *given)
            assert done.code == 0, done.err
            made[level] = np.abs(np.diff(np.stack(rgb(tmp_path / f"{name}{level}.mkv")).astype(float), axis=2)).mean()
        assert made["10"] < 0.85 * made["0"]
