"""int8 adds up in 32 bits on every CPU: networks whose sums are too large for 16 give what they stand for."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.generators import GENERATORS
from sr_experiments.inference import device, int8
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.int8 import QuantizedConvolution, steps_of
from sr_experiments.quantization.calibrate import Calibrated
from sr_experiments.quantization.file import write
from sr_experiments.quantization.network import QuantizedNetwork, reading_levels, with_quantised_weights

SETTINGS = {"scale": 2, "features": 32, "blocks": 1}


@pytest.fixture
def quantised():
    """A network whose convolutions add up positive numbers, what is quantised of it, an image, and SR of it."""
    torch.manual_seed(0)
    network = GENERATORS["msrresnet"](**SETTINGS).eval().requires_grad_(False)
    for name in ("conv_first", "body.0.conv1", "body.0.conv2"):
        weight = network.get_submodule(name).weight
        weight.fill_(1 / weight[0].numel())  # means: of numbers in [0, 1] they make such
    chosen = {}
    for name in ("body.0.conv1", "body.0.conv2"):
        layer = QuantizedConvolution(0.0, 1.0, steps_of(network.get_submodule(name).weight))
        chosen[name] = Calibrated(layer, None)
    network.conv_last.weight.mul_(20)
    network.conv_last.bias.fill_(-0.5)
    network = with_quantised_weights(network, chosen)
    layers = {name: of.layer for name, of in chosen.items()}
    lr = (torch.rand(1, 3, 24, 24) * 25 + 230).round() / 255  # nearly white
    with reading_levels(network, layers):
        return network, layers, lr, network(lr)


def as_pixels(image: torch.Tensor) -> np.ndarray:
    return (255 * image[0].permute(1, 2, 0).clamp(0, 1)).round().byte().numpy()


@pytest.mark.parametrize("instructions", [True, False])
def test_openvino_adds_up_in_32_bits(quantised, monkeypatch, instructions):
    if instructions and not device.computes_in_int8():
        pytest.skip("this CPU has no VNNI")
    monkeypatch.setattr(int8, "computes_in_int8", lambda: instructions)
    network, layers, lr, expected = quantised
    made = Engine(network, "cpu", "int8", int8=layers).upscale(as_pixels(lr))
    assert np.abs(made.astype(int) - as_pixels(expected)).max() <= 3


@pytest.mark.slow
def test_the_program_on_a_card_has_onnx_runtime_add_up_in_32_bits(quantised, sr, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    network, layers, lr, expected = quantised
    write(
        Path("int8.safetensors"),
        QuantizedNetwork(network, layers, {"source": "here"}, {"name": "msrresnet", **SETTINGS}),
    )
    done = sr("export", "int8.safetensors", "-o", "int8.onnx", "--card")
    assert done.code == 0 and "set session.x64quantprecision=1 in ONNX Runtime's session options" in done.out, done.err
    Image.fromarray(as_pixels(lr)).save("photo.png")
    [code] = re.findall(r"```python\n(.*?)\n```", Path("int8.md").read_text(), re.DOTALL)
    exec(compile(code, "int8.md", "exec"), {})
    assert np.abs(np.array(Image.open("photo_large.png")).astype(int) - as_pixels(expected)).max() <= 3
