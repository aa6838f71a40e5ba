"""Tiles: cover the image once, see what they need, and give what the whole image would."""

import itertools

import numpy as np
import pytest
import torch

from sr_experiments.generators import GENERATORS
from sr_experiments.inference.probes import LARGEST_FIELD, LiveBytes, receptive_radius
from sr_experiments.inference.tiles import ALIGNMENT, plan


@pytest.mark.parametrize("height, width", list(itertools.product((1, 15, 97, 128, 300, 511), (16, 130, 401))))
@pytest.mark.parametrize("size, margin", [(64, 12), (96, 32), (128, 36), (256, 40)])
def test_cores_cover_every_pixel_once_and_margins_are_whole(height, width, size, margin):
    covered = np.zeros((height, width), int)
    for tile in plan(height, width, size, margin):
        covered[tile.core(1)] += 1
        rows, columns = tile.area
        assert rows.stop - rows.start < size + ALIGNMENT and columns.stop - columns.start < size + ALIGNMENT
        for start, stop, core_start, core_stop, length in (
            (tile.top, tile.bottom, tile.core_top, tile.core_bottom, height),
            (tile.left, tile.right, tile.core_left, tile.core_right, width),
        ):
            assert start % ALIGNMENT == 0
            assert start == 0 or core_start - start >= margin
            assert stop == length or stop - core_stop >= margin
    assert (covered == 1).all()


def test_tiles_begin_at_multiples_of_a_given_alignment_and_still_cover_everything():
    for alignment, size in ((48, 2 * 32 + 48), (32, 128)):
        covered = np.zeros((301, 130), int)
        for tile in plan(301, 130, size, 32, alignment):
            covered[tile.core(1)] += 1
            assert tile.top % alignment == tile.left % alignment == 0
            assert tile.top == 0 or tile.core_top - tile.top >= 32
            assert tile.bottom == 301 or tile.bottom - tile.core_bottom >= 32
        assert (covered == 1).all()


def test_the_core_is_found_again_in_a_tiles_output():
    image = torch.arange(200 * 150).view(1, 1, 200, 150).float()
    large = image.repeat_interleave(3, 2).repeat_interleave(3, 3)
    output = torch.zeros_like(large)
    for tile in plan(200, 150, 64, 16):
        rows, columns = tile.core(3)
        seen = image[(..., *tile.area)].repeat_interleave(3, 2).repeat_interleave(3, 3)
        output[:, :, rows, columns] = seen[(..., *tile.core_within(3))]
    assert torch.equal(output, large)


@pytest.mark.parametrize(
    "name, options, radius",
    [
        # Convolutions at LR size count fully, those at 2x and 4x a half and a quarter of a pixel, rounded up.
        ("msrresnet", {"blocks": 2, "features": 4}, 1 + 2 * 2 + 1 + 1),
        ("srresnet", {"blocks": 1, "features": 4}, 4 + 2 + 1 + 1 + 2),
        ("rrdbnet", {"blocks": 1, "features": 4, "growth": 4}, 1 + 15 + 1 + 1),
    ],
)
def test_receptive_field_is_that_of_the_layers(name, options, radius):
    generator = GENERATORS[name](scale=4, **options).eval()
    assert abs(receptive_radius(generator, 3, 4) - radius) <= 1


def test_receptive_field_of_a_deep_network_is_beyond_measure():
    generator = GENERATORS["rrdbnet"](scale=4, blocks=6, features=4, growth=4).eval()
    assert LARGEST_FIELD < 6 * 15
    assert receptive_radius(generator, 3, 4) is None


def test_peak_memory_counts_what_lives_at_one_time():
    def run(image):
        first = image * 2  # held to the end
        second = first + 1
        del second
        return first.repeat(1, 4, 1, 1)  # beside first and what came before

    image = torch.ones(1, 1, 10, 10)
    with torch.inference_mode(), LiveBytes() as live:
        run(image)
    assert live.peak == 400 + 1600
