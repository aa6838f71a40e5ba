"""What makes networks fast on a CPU gives what the plain networks give."""

import copy

import numpy as np
import pytest
import torch

from sr_experiments.generators.rrdbnet import InPlaceDenseBlock
from sr_experiments.inference.device import choose_precision
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.fast import StripNetwork, optimised_for_cpu
from sr_experiments.inference.tiles import STRIP, strips
from tests.conftest import others_slow
from tests.inference.test_engine import TINY, network, photograph

NETWORKS = [("srresnet", 3), ("msrresnet", 3), ("rrdbnet", 4), ("rrdbnet", 2)]


def lr_image(height, width):
    return torch.from_numpy(photograph(height, width)).permute(2, 0, 1)[None].float() / 255


def psnr(found, expected):
    return -10 * float((found.float() - expected).square().mean().log10())


@pytest.mark.parametrize("height", [1, STRIP, STRIP + 1, 2 * STRIP + 9])
@pytest.mark.parametrize("name, scale", NETWORKS)
def test_strips_leave_no_seams(name, scale, height):
    generator = network(name, scale=scale).eval()
    lr = lr_image(height, 70)
    fast = optimised_for_cpu(copy.deepcopy(generator), 3, scale)
    assert isinstance(fast, StripNetwork) == (name != "rrdbnet" or scale == 4)  # folded input: features of another size
    with torch.inference_mode():
        torch.testing.assert_close(fast(lr), generator(lr), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("phase", ["centred", "corner"])
def test_a_recurrent_network_goes_in_strips_too(phase):
    generator = network("frvsr", phase=phase).eval()
    lr = torch.cat((lr_image(90, 60), torch.rand(1, 48, 90, 60, generator=torch.Generator().manual_seed(0))), 1)
    fast = optimised_for_cpu(copy.deepcopy(generator.srnet), 51, 4)
    assert isinstance(fast, StripNetwork)
    with torch.inference_mode():
        torch.testing.assert_close(fast(lr), generator.srnet(lr), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("height, rows", [(1, 64), (64, 64), (65, 64), (270, 64), (1000, 7)])
def test_strips_cover_every_row_once_with_whole_margins(height, rows):
    covered = np.zeros(height, int)
    for tile in strips(height, 5, rows, margin=3):
        covered[tile.core_top : tile.core_bottom] += 1
        assert tile.core_bottom - tile.core_top <= rows
        assert tile.top == max(tile.core_top - 3, 0) and tile.bottom == min(tile.core_bottom + 3, height)
    assert (covered == 1).all()


def test_dense_blocks_keep_more_of_float32_than_autocast_does():
    generator = network("rrdbnet", blocks=6).eval()
    fast = optimised_for_cpu(copy.deepcopy(generator), 3, 4)
    assert any(isinstance(module, InPlaceDenseBlock) for module in fast.modules())
    lr = lr_image(60, 50)
    with torch.inference_mode():
        full = generator(lr)
        with torch.autocast("cpu", torch.bfloat16):
            assert psnr(fast(lr), full) > max(psnr(generator(lr), full) + 1, 40)


@pytest.mark.parametrize("name", others_slow(["rrdbnet", "frvsr"], TINY))
def test_bf16_is_near_fp32_and_the_given_generator_stays_as_it_is(name):
    generator, image = network(name), photograph(100, 80)
    before = copy.deepcopy(generator.state_dict())
    full, half = (Engine(generator, "cpu", precision).upscale(image).astype(int) for precision in ("fp32", "bf16"))
    assert np.abs(full - half).mean() < 1
    assert list(generator.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[key]) for key, tensor in generator.state_dict().items())


@pytest.mark.parametrize("native, precision", [(True, "bf16"), (False, "fp32")])
def test_precision_is_bf16_where_the_cpu_computes_in_it(monkeypatch, caplog, native, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_precision("auto", torch.device("cpu")) == precision
    caplog.clear()
    assert choose_precision("bf16", torch.device("cpu")) == precision
    assert ("this CPU doesn't compute in bf16, so fp32 is used" in caplog.text) == (not native)
