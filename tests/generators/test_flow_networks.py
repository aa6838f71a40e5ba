"""Flows as networks: Euler's steps, noise by position, tiles, a part that never learns."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sr_experiments.errors import SRError
from sr_experiments.generators.esc import SMALL
from sr_experiments.generators.flow import Flow, euler
from sr_experiments.generators.noise import noise_at
from sr_experiments.inference.engine import Engine
from tests.generators.test_generators import tiny


class Local(nn.Module):
    """A velocity of two convolutions that depends on the time; the U-Net sees the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))

    def forward(self, image: Tensor, time: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(image))) * (1 + time[:, None, None, None])


def local_flow(**more: object) -> Flow:
    torch.manual_seed(0)
    flow = tiny("flow", **more)
    flow.velocity, flow.whole_image = Local(), False
    return flow.eval()


def photograph(height: int, width: int) -> np.ndarray:
    import skimage.data

    return skimage.data.astronaut()[:height, :width]


@pytest.mark.parametrize("steps", [1, 2, 5, 64])
def test_euler_steps_follow_known_velocities(steps):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    straight = torch.randn_like(x)
    torch.testing.assert_close(euler(lambda x, t: straight, x, steps), x + straight)
    torch.testing.assert_close(euler(lambda x, t: -x, x, steps), x * (1 - 1 / steps) ** steps)
    torch.testing.assert_close(euler(lambda x, t: torch.full_like(x, 2 * t), x, steps), x + (steps - 1) / steps)


def test_noise_is_standard_normal_and_a_function_of_seed_and_position():
    whole = noise_at(7, 0, 0, 200, 150, 3)
    assert whole.shape == (1, 3, 200, 150)
    assert abs(whole.mean()) < 0.02 and abs(whole.std() - 1) < 0.02
    for top, left, height, width in ((0, 0, 10, 10), (63, 64, 66, 5), (130, 1, 70, 149)):
        part = noise_at(7, top, left, height, width, 3)
        assert torch.equal(part, whole[..., top : top + height, left : left + width])
    neighbours = noise_at(7, 0, 64, 64, 64, 3), noise_at(7, 64, 0, 64, 64, 3), noise_at(8, 0, 0, 64, 64, 3)
    assert not any(torch.equal(whole[..., :64, :64], other) for other in neighbours)


def test_tiles_of_any_size_give_the_untiled_bits_where_the_network_is_local():
    flow = local_flow(scale=2)
    image = photograph(150, 180)
    outputs = [Engine(flow, "cpu", "fp32", tile=tile, runtime="torch").upscale(image) for tile in (400, 96, 128)]
    np.testing.assert_array_equal(outputs[1], outputs[0])
    np.testing.assert_array_equal(outputs[2], outputs[0])
    smooth = copy.deepcopy(flow)
    smooth.noise = 0.0
    assert (Engine(smooth, "cpu", "fp32", runtime="torch").upscale(image) != outputs[0]).mean() > 0.5  # there is noise


def test_tiles_begin_where_the_windows_of_the_mse_network_do():
    """Else its attention sees other windows than in the whole image, and there are seams."""
    flow = local_flow(scale=2, mse={"name": "esc", **SMALL, "window": 32})
    with torch.no_grad():
        flow.mse.to_img.weight.mul_(30)  # which begins small
        flow.mse.blocks[0].attn.to_qkv.weight.mul_(3)
    image = photograph(160, 224)
    whole, tiled = (Engine(flow, "cpu", "fp32", tile=tile, runtime="torch").upscale(image) for tile in (256, 144))
    assert np.abs(whole.astype(int) - tiled).max() <= 4


def test_a_seed_has_its_bits_and_numbers_of_steps_have_their_pictures():
    flow = local_flow(scale=2)
    image = photograph(40, 50)

    def upscaled(**sampling: float) -> np.ndarray:
        other = copy.deepcopy(flow)
        other.sampling = {**other.sampling, **sampling}
        return Engine(other, "cpu", "fp32", runtime="torch").upscale(image)

    np.testing.assert_array_equal(upscaled(seed=3), upscaled(seed=3))
    assert (upscaled(seed=3) != upscaled(seed=4)).any()
    assert (upscaled(steps=1) != upscaled(steps=4)).any()
    np.testing.assert_array_equal(upscaled(steps=2), upscaled())  # the network's own


def test_a_step_to_one_picture_is_the_mean_velocity_from_the_start():
    distilled = tiny("flow_distilled", scale=2).eval()
    lr = torch.rand(2, 3, 9, 11)
    start = distilled.start(lr, 0, 0)
    for strength in (0.0, 0.3, 1.0):
        velocity = distilled.velocity(start, torch.full((2,), strength))
        torch.testing.assert_close(distilled(lr, strength=strength), start + velocity, rtol=0, atol=0)


def test_the_mse_network_stays_as_it_is_in_training():
    flow = tiny("flow", mse={"name": "srresnet", "features": 8, "blocks": 1}).train()  # with batch norm
    before = copy.deepcopy(flow.mse.state_dict())
    flow(torch.rand(2, 3, 8, 8)).square().mean().backward()
    assert flow.velocity.training and not any(module.training for module in flow.mse.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in flow.mse.state_dict().items())
    assert not any(p.requires_grad for p in flow.mse.parameters())


def test_a_flow_needs_an_mse_network_of_single_images():
    with pytest.raises(SRError, match=r"init_from=\{mse: <run folder>\}"):
        Flow()
    with pytest.raises(SRError, match="frvsr doesn't"):
        tiny("flow", mse={"name": "frvsr", "srnet": {"name": "resnet", "features": 8, "blocks": 1}})
