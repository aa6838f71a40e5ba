"""ESC against the paper's counts, and against its formulas written with loops."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.errors import SRError
from sr_experiments.export.runnable import Runnable
from sr_experiments.generators.esc import ESC, ConvAttention, WindowAttention, depthwise, symmetric
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.padding import reflect_to_multiple
from sr_experiments.inference.engine import Engine
from sr_experiments.training.activations import checkpoint_activations
from tests.conftest import ROOT
from tests.generators.test_generators import tiny

TINY = ["model=esc_small", "model.features=9", "model.blocks=1", "model.convolutions=1", "model.conv_features=4"]


def lively(network, std=0.2):
    """Give every weight a value: as initialised, the computed kernels are zeros and the last layer small."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network.eval()


def of_file(name):
    arguments = yaml.safe_load((ROOT / "conf" / "model" / f"{name}.yaml").read_text())
    assert arguments.pop("name") == "esc"
    return arguments


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_parameter_count_is_the_published_one():
    assert round(count(ESC()) / 1e3) == 968 and count(ESC()) == 967_500
    assert count(ESC(**of_file("esc"))) == 967_500
    assert round(count(ESC(**of_file("esc_small"))) / 1e3) == 287


def test_state_dict_has_the_names_and_shapes_of_the_authors_checkpoints():
    ffn, conv = ("proj", "dwc", "aggr"), ("plk.dwc_proj.1", "plk.dwc_proj.3", "aggr")
    layers = ["ln_proj", *(f"proj.{x}" for x in ffn), "ln_attn", "attn.to_qkv", "attn.to_out"]
    layers += [f"pconvs.{i}.{x}" for i in range(5) for x in conv] + [f"convffns.{i}.{x}" for i in range(5) for x in ffn]
    layers = [f"blocks.{n}.{layer}" for n in range(5) for layer in (*layers, "ln_out", "conv_out")]
    names = {f"{layer}.{kind}" for layer in ("proj", *layers, "last", "to_img") for kind in ("weight", "bias")}
    bias = {f"blocks.{n}.attn.relative_position_bias" for n in range(5)}
    state = ESC().state_dict()
    assert set(state) == names | bias | {"plk_filter"}
    assert {name: tuple(state[name].shape) for name in (
        "plk_filter", "blocks.4.attn.relative_position_bias", "blocks.0.proj.dwc.weight",
        "blocks.0.convffns.4.proj.weight", "blocks.0.pconvs.0.plk.dwc_proj.3.weight", "to_img.weight",
    )} == {
        "plk_filter": (16, 16, 13, 13), "blocks.4.attn.relative_position_bias": (4, 63 * 63),
        "blocks.0.proj.dwc.weight": (128, 1, 3, 3), "blocks.0.convffns.4.proj.weight": (80, 64, 1, 1),
        "blocks.0.pconvs.0.plk.dwc_proj.3.weight": (144, 8, 1, 1), "to_img.weight": (48, 64, 3, 3),
    }  # fmt: skip


def naive_attention(layer, x):
    """Softmax attention window by window and head by head, with the bias of each pair looked up in the table."""
    window, heads, (features, height, width) = layer.window, layer.heads, x.shape[1:]
    padded = F.pad(x, (0, -width % window, 0, -height % window), mode="reflect")
    qkv = layer.to_qkv(padded).unflatten(1, (3, heads, features // heads))
    pixels = [(i, j) for i in range(window) for j in range(window)]
    side = 2 * window - 1
    index = torch.tensor([
        [(ki - qi + window - 1) * side + kj - qj + window - 1 for ki, kj in pixels] for qi, qj in pixels
    ])  # fmt: skip
    out = torch.empty_like(qkv[:, 0])  # (n, heads, c, H, W)
    for top in range(0, padded.shape[2], window):
        for left in range(0, padded.shape[3], window):
            area = (..., slice(top, top + window), slice(left, left + window))
            for head in range(heads):
                q, k, v = (qkv[:, i, head][area].flatten(2).transpose(1, 2) for i in range(3))  # (n, window^2, c)
                scores = q @ k.transpose(1, 2) / math.sqrt(features // heads)
                weights = (scores + layer.relative_position_bias[head][index]).softmax(2)
                out[:, head][area] = (weights @ v).transpose(1, 2).unflatten(2, (window, window))
    return layer.to_out(out.flatten(1, 2)[..., :height, :width])


@pytest.mark.parametrize(("window", "size"), [(4, (8, 12)), (4, (6, 7)), (5, (13, 4)), (16, (20, 9))])
def test_attention_equals_softmax_with_a_looked_up_bias(window, size):
    layer = lively(WindowAttention(12, window, 3))
    nn.init.normal_(layer.relative_position_bias)
    x = torch.rand(2, 12, *size)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), naive_attention(layer, x), rtol=0, atol=1e-5)


def test_computed_kernels_equal_a_loop_over_the_batch():
    x, kernels = torch.randn(3, 6, 9, 7), torch.randn(3, 6, 3, 3)
    one_by_one = [F.conv2d(a[None], k[:, None], padding=1, groups=6) for a, k in zip(x, kernels, strict=True)]
    torch.testing.assert_close(depthwise(x, kernels), torch.cat(one_by_one), rtol=0, atol=1e-5)

    layer, large = lively(ConvAttention(6)), torch.randn(6, 6, 5, 5)
    with torch.no_grad():
        for image, found in zip(x, layer(x, large), strict=True):
            kernel = layer.dwc_proj[3](F.gelu(layer.dwc_proj[1](image.mean((1, 2))[:, None, None])))
            expected = F.conv2d(image, large, padding=2)
            expected += F.conv2d(image, kernel.view(6, 1, 3, 3), padding=1, groups=6)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_the_large_kernel_is_averaged_over_flips_and_rotations():
    kernel = torch.randn(4, 4, 5, 5)
    turned = [torch.rot90(k, turns, (2, 3)) for k in (kernel, kernel.flip(3)) for turns in range(4)]
    torch.testing.assert_close(symmetric(kernel), torch.stack(turned).mean(0), rtol=0, atol=1e-6)


def test_the_network_is_the_papers():
    """Its blocks in plain steps, with the layers' weights."""
    network = lively(tiny("esc", scale=3, blocks=2, convolutions=2))
    lr = torch.rand(2, 3, 11, 18)

    def norm(layer, x):
        centred = x - x.mean(1, keepdim=True)
        x = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return x * layer.weight[:, None, None] + layer.bias[:, None, None]

    def ffn(layer, x):
        x = F.gelu(layer.proj(x))
        return layer.aggr(F.gelu(layer.dwc(x)) + x)

    with torch.no_grad():
        first = x = network.proj(lr)
        for block in network.blocks:
            y = ffn(block.proj, norm(block.ln_proj, x))
            y = y + naive_attention(block.attn, norm(block.ln_attn, y))
            for conv, between in zip(block.pconvs, block.convffns, strict=True):
                z = ffn(between, y)
                z[:, :4] = conv.plk(z[:, :4].clone(), symmetric(network.plk_filter))
                y = y + conv.aggr(z)
            x = x + block.conv_out(norm(block.ln_out, y))
        expected = network.to_img(network.last(x) + first) + lr.repeat_interleave(9, 1)
        expected = F.pixel_shuffle(expected, 3)
        torch.testing.assert_close(network(lr), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (8, 8), (13, 7)])
def test_borders_are_mirrored_and_small_images_again_and_again(size):
    image = torch.rand(2, 3, *size)
    padded = reflect_to_multiple(image, 8)
    expected = np.pad(image.numpy(), [(0, 0), (0, 0), *((0, -side % 8) for side in size)], mode="reflect")
    assert np.array_equal(padded.numpy(), expected)
    assert tiny("esc", scale=2)(image).shape == (2, 3, 2 * size[0], 2 * size[1])


@pytest.mark.parametrize("channels", [1, 5])
def test_it_begins_as_little_more_than_an_enlargement(channels):
    torch.manual_seed(0)
    network, lr = ESC(**of_file("esc_small"), channels=channels), torch.rand(1, channels, 17, 12)
    with torch.no_grad():
        error = network(lr) - F.interpolate(lr, scale_factor=4, mode="nearest")
    assert 30 < -10 * error.square().mean().log10() < 60


def test_a_file_of_the_authors_is_read_as_it_is(tmp_path):
    arguments = {"name": "esc", "scale": 2, "channels": 3, **of_file("esc"), "blocks": 3}
    network = lively(ESC(**{key: value for key, value in arguments.items() if key != "name"}))
    torch.save({"params_ema": network.state_dict()}, tmp_path / "ESC_light_X2.pth")
    read, checkpoint = load_generator(tmp_path / "ESC_light_X2.pth")
    assert isinstance(read, ESC) and checkpoint.generator == arguments
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_files_of_esc_real_are_not_taken_for_esc(tmp_path):
    state = {
        **tiny("esc").state_dict(),
        "blocks.0.lns.0.weight": torch.ones(8),
        "skip.0.weight": torch.ones(16, 3, 1, 1),
    }
    torch.save({"params_ema": state}, tmp_path / "ESC_Real_X4.pth")
    with pytest.raises(SRError, match="ESC_Real_X4"):
        load_generator(tmp_path / "ESC_Real_X4.pth")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype):
    network, lr = tiny("esc").eval(), torch.rand(2, 3, 20, 13)
    nn.init.normal_(network.to_img.weight, std=0.05)
    with torch.no_grad():
        expected = network(lr)
        with torch.autocast("cpu", dtype):
            found = network(lr)
    assert (found - expected).abs().max() < 0.05


def test_activations_computed_again_give_the_same_gradients():
    plain = lively(tiny("esc", blocks=2)).train()
    other = copy.deepcopy(plain)
    checkpoint_activations(other)
    for network in (plain, other):
        network(torch.linspace(0, 1, 2 * 3 * 9 * 12).view(2, 3, 9, 12)).square().mean().backward()
    for (name, a), b in zip(plain.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("heads=3", "model.features=64 can't be shared by model.heads=3: set a multiple of 3\n"),
        (
            "conv_features=80",
            "model.conv_features=80 is more than model.features=64: set model.conv_features=64 or less\n",
        ),
        ("window=65", "model.window is 65: give a whole number of at least 2 and at most 64"),
        ("window=1", "model.window is 1"),
        ("kernel=4", "model.kernel is 4"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(train, capsys, setting, said):
    with pytest.raises(SystemExit):
        train("model=esc", f"model.{setting}")
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_a_training_ends_with_pictures_and_a_checkpoint_that_is_read(train):
    folder = train(*TINY, "scale=3", "data.crop=36", "trainer.checkpoint_activations=true")
    assert load_generator(folder)[1].generator["window"] == 16


def test_windows_of_tiles_are_those_of_the_whole_image():
    """With window attention alone, and no margin that could hide it, tiles give the whole image's pixels."""

    class Windows(Generator):
        size_multiple = 24
        receptive_radius = 24

        def __init__(self):
            super().__init__(2, 3)
            self.attention = lively(WindowAttention(3, 24, 1), std=1)

        def forward(self, lr):
            return F.interpolate(torch.sigmoid(self.attention(lr)), scale_factor=2, mode="nearest")

    squares = np.random.default_rng(0).integers(0, 256, (15, 25, 3), dtype=np.uint8)
    image = squares.repeat(10, 0).repeat(10, 1)
    whole = Engine(Windows(), "cpu", "fp32", runtime="torch").upscale(image)
    tiled = Engine(Windows(), "cpu", "fp32", tile=128, runtime="torch").upscale(image)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    with pytest.raises(SRError, match="this network needs at least 96"):
        Engine(Windows(), "cpu", "fp32", tile=95, runtime="torch")
    assert [Engine(tiny("esc", window=w), "cpu", "fp32", runtime="torch").margin for w in (8, 32, 40)] == [32, 32, 40]


def test_programs_are_compared_on_one_window_and_on_several():
    network = Runnable(ESC(**{**of_file("esc_small"), "window": 32}))
    assert network.smallest_size == 33
    programs, others = network.sizes(all_sizes=False), network.sizes(all_sizes=True)
    assert all(min(height, width) >= 33 for _, height, width in programs)
    assert set(programs) < set(others) and (1, 17, 23) in others
    assert min(network.example()[0].shape[2:]) >= 33
