import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.image_files import list_images, read_image
from sr_experiments.data.images import as_tensor, crop_to_multiple
from sr_experiments.data.resize import bicubic_upsample, imresize
from sr_experiments.registry import build

SET5 = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "Set5"


def keys_cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def resize_row(row: list[float], scale: float) -> list[float]:
    """imresize of one row of pixels, written from its definition, pixel by pixel."""
    size, shrink = len(row), min(scale, 1.0)
    out = []
    for i in range(math.ceil(round(scale * size, 6))):
        centre = (i + 0.5) / scale - 0.5
        total = weight_sum = 0.0
        for j in range(math.floor(centre - 2 / shrink) - 1, math.ceil(centre + 2 / shrink) + 2):
            weight = keys_cubic((centre - j) * shrink)
            k = j
            while not 0 <= k < size:  # mirror at the outer edge of the border pixel
                k = -1 - k if k < 0 else 2 * size - 1 - k
            total += weight * row[k]
            weight_sum += weight
        out.append(total / weight_sum)
    return out


def resize_directly(image: np.ndarray, scale: float) -> np.ndarray:
    columns = np.array([resize_row(list(image[:, x]), scale) for x in range(image.shape[1])]).T
    return np.array([resize_row(list(row), scale) for row in columns])


@pytest.mark.skipif(not SET5.is_dir(), reason="Set5 isn't beside the repository")
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downsampled_set5_equals_its_published_lr_bit_for_bit(scale: int) -> None:
    degradation = build("degradation", DEGRADATIONS, {"name": "bicubic"}, scale=scale)
    differing = {}
    for path in list_images(SET5 / "HR"):
        hr = as_tensor(crop_to_multiple(read_image(path), scale, path))[None].float() / 255
        published = as_tensor(read_image(SET5 / f"LRx{scale}" / path.name))[None].float() / 255
        differing[path.name] = int((degradation.validation(hr) != published).sum())
    assert differing == dict.fromkeys(["baby.png", "bird.png", "butterfly.png", "head.png", "woman.png"], 0)


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(3, 5), 2, 3, 1.5, 0.37])
def test_matches_the_direct_double_loop(scale: float) -> None:
    image = np.random.default_rng(0).random((11, 14))
    result = imresize(torch.from_numpy(image)[None, None], scale, bits="float")[0, 0]
    np.testing.assert_allclose(result.numpy(), resize_directly(image, float(scale)), rtol=0, atol=1e-12)


def test_images_smaller_than_the_kernel_are_mirrored_repeatedly() -> None:
    image = np.random.default_rng(0).random((3, 2))
    result = imresize(torch.from_numpy(image)[None, None], Fraction(1, 3), bits="float")[0, 0]
    np.testing.assert_allclose(result.numpy(), resize_directly(image, 1 / 3), rtol=0, atol=1e-12)


def test_eight_bit_passes_are_rounded_and_clipped_between_and_after() -> None:
    pixels = np.random.default_rng(1).choice([0, 255], (12, 12)).astype(float)  # overshoots everywhere
    image = torch.from_numpy(pixels / 255)[None, None].float()

    def to_bytes(values: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(values + 0.5), 0, 255)

    vertical = to_bytes(np.array([resize_row(list(pixels[:, x]), 2) for x in range(12)]).T)
    expected = to_bytes(np.array([resize_row(list(row), 2) for row in vertical]))
    assert ((imresize(image, 2)[0, 0] * 255).round().numpy() == expected).all()


def test_float_scale_is_its_nearest_simple_fraction() -> None:
    image = torch.rand(1, 3, 30, 33)
    assert torch.equal(imresize(image, 1 / 3), imresize(image, Fraction(1, 3)))
    assert imresize(image, 1 / 3).shape == (1, 3, 10, 11)


def test_output_size_resizes_the_stronger_shrunk_direction_first() -> None:
    image = torch.rand(1, 1, 20, 20, dtype=torch.float64)
    turned = imresize(image.transpose(2, 3), (15, 5)).transpose(2, 3)
    assert imresize(image, (5, 15)).shape == (1, 1, 5, 15)
    assert torch.equal(imresize(image, (5, 15)), turned)


def test_a_batch_equals_its_images_one_by_one() -> None:
    batch = torch.rand(5, 3, 24, 36).contiguous(memory_format=torch.channels_last)
    assert torch.equal(imresize(batch, Fraction(1, 3)), torch.cat([imresize(x[None], Fraction(1, 3)) for x in batch]))


def test_autocast_changes_nothing() -> None:
    image = torch.rand(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        inside = imresize(image, Fraction(1, 4))
    assert inside.dtype == torch.float32
    assert torch.equal(inside, imresize(image, Fraction(1, 4)))


def test_weights_made_in_inference_mode_serve_training_too() -> None:
    with torch.inference_mode():
        imresize(torch.rand(1, 1, 17, 17), Fraction(1, 2), bits="float")
    image = torch.rand(1, 1, 17, 17, requires_grad=True)
    imresize(image, Fraction(1, 2), bits="float").sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0


def test_gradient_is_that_of_the_resize() -> None:
    image = torch.rand(1, 1, 6, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: imresize(x, Fraction(1, 2), bits="float"), image)


def test_flat_images_stay_flat_and_upsampling_has_the_right_size() -> None:
    flat = torch.full((1, 3, 7, 9), 100 / 255)
    assert torch.equal(bicubic_upsample(flat, 4), torch.full((1, 3, 28, 36), 100 / 255))


def test_bicubic_training_and_validation_lr_are_the_same_eight_bit_image() -> None:
    degradation = build("degradation", DEGRADATIONS, {"name": "bicubic"}, scale=4)
    hr = torch.rand(2, 3, 32, 32)
    lr = degradation(hr, torch.Generator())
    assert lr.shape == (2, 3, 8, 8)
    assert torch.equal(lr, degradation.validation(hr))
    assert torch.equal(lr, (lr * 255).round() / 255)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_the_bits_of_the_cpu() -> None:
    image = torch.randint(0, 256, (4, 3, 96, 120)).float() / 255
    for scale in (Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(3)):
        assert torch.equal(imresize(image.cuda(), scale).cpu(), imresize(image, scale))
