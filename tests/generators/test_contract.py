"""What a new generator declares in its class is used by inference and export; what it leaves out is measured."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sr_experiments.export.runnable import Runnable
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator, TwoPartGenerator
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.fast import STRIP
from sr_experiments.inference.tiles import MARGIN
from tests.generators.test_generators import tiny


class Slow(nn.Module):
    """Adds a blurred copy; in float64, so that sums in another order give the same pixels."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, features, 3, padding=1).double()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x.double())


class Fast(nn.Module):
    """The same in one convolution."""

    runs = 0

    def __init__(self, block: Slow) -> None:
        super().__init__()
        self.conv = copy.deepcopy(block.conv)
        with torch.no_grad():
            for i in range(len(self.conv.weight)):
                self.conv.weight[i, i, 1, 1] += 1

    def forward(self, x: Tensor) -> Tensor:
        Fast.runs += 1
        return self.conv(x.double())


class Plain(Generator):
    """All that is required: `forward`."""

    def __init__(self, scale: int = 3, channels: int = 3) -> None:
        super().__init__(scale, channels)
        self.first = nn.Conv2d(channels, 8, 3, padding=1).double()
        self.block = Slow(8)
        self.last = nn.Conv2d(8, channels * scale**2, 5, padding=2).double()
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, lr: Tensor) -> Tensor:
        return self.shuffle(self.last(self.block(self.first(lr.double())))).float()


class InTwoParts(TwoPartGenerator, Plain):
    """The same network, which also says where it may be cut and what runs faster."""

    heights: list[int] = []  # of the features that were enlarged at once

    def extract_features(self, lr: Tensor) -> Tensor:
        return self.block(self.first(lr.double()))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        self.heights.append(features.shape[2])
        return self.shuffle(self.last(features.double())).float()

    def optimise_for_cpu(self) -> None:
        self.block = Fast(self.block)


def pair() -> tuple[Plain, InTwoParts]:
    torch.manual_seed(0)
    plain, in_two = Plain(), InTwoParts()
    in_two.load_state_dict(plain.state_dict())
    return plain, in_two


def photograph(height: int, width: int) -> np.ndarray:
    import skimage.data

    return skimage.data.astronaut()[:height, :width]


def test_a_new_generator_in_two_parts_is_run_in_strips_with_equal_output():
    plain, in_two = pair()
    image = photograph(3 * STRIP + 7, 50)
    expected = Engine(plain, "cpu", "fp32", runtime="torch").upscale(image)
    engine = Engine(in_two, "cpu", "fp32", runtime="torch")
    InTwoParts.heights.clear()
    Fast.runs = 0
    np.testing.assert_array_equal(engine.upscale(image), expected)
    last = InTwoParts.heights[-4:]  # the first ones were for measuring memory
    assert len(last) == 4 and max(last) <= STRIP + 2 * 2  # the 5x5 convolution depends on two rows beyond
    assert Fast.runs and isinstance(in_two.block, Slow)  # the given network stays as it is


def test_a_new_generator_in_two_parts_is_run_by_openvino_part_by_part():
    plain, in_two = pair()
    image = photograph(60, 50)
    by_openvino = Engine(in_two, "cpu", "fp32", runtime="openvino")
    expected = Engine(plain, "cpu", "fp32", runtime="torch").upscale(image).astype(int)
    assert by_openvino.runtime == "openvino"
    assert np.abs(by_openvino.upscale(image).astype(int) - expected).max() <= 1


def test_the_receptive_radius_is_measured_where_it_is_not_declared():
    class Knows(Plain):
        receptive_radius = 9

    class Everywhere(Plain):
        def forward(self, lr: Tensor) -> Tensor:
            return super().forward(lr) + lr.mean()

    assert Engine(Plain(), "cpu", "fp32", runtime="torch").margin == 4  # 1 + 1 + 2
    assert Engine(Knows(), "cpu", "fp32", runtime="torch").margin == 12  # the next multiple of 4
    assert Engine(Everywhere(), "cpu", "fp32", runtime="torch").margin == MARGIN


def test_export_asks_the_network_to_prepare_and_for_the_sizes_it_pads_to():
    class Windows(Plain):
        size_multiple = 8
        prepared = 0

        def prepare_for_export(self) -> None:
            self.prepared += 1

    network = Windows()
    assert Runnable(network).smallest_size == 9  # more than a window
    assert network.prepared == 1
    assert Runnable(Plain()).smallest_size == 2
    assert Runnable(tiny("frvsr")).smallest_size == 9
    assert Runnable(tiny("rrdbnet", scale=2)).smallest_size == 3


@pytest.mark.parametrize("name", list(GENERATORS))
def test_every_network_can_be_copied_and_pickled(name):
    network = tiny(name).eval()
    assert isinstance(network, Generator) and network.scale == 4 and network.channels == 3
    assert isinstance(network, RecurrentGenerator) == (name in ("frvsr", "basicvsr_uni"))
    lr = torch.rand(1, 3, 12, 10)
    if isinstance(network, RecurrentGenerator):
        lr = lr[:, None].repeat(1, 2, 1, 1, 1)
    with torch.no_grad():
        expected = network(lr)
        for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            torch.testing.assert_close(other(lr), expected, rtol=0, atol=0)
