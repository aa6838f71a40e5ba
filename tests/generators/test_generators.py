"""Networks against the papers' counts, independent references and each other."""

import re
import sys

import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra import compose, initialize_config_dir
from torch import nn

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.compact import Compact
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.msrresnet import MSRResNet
from sr_experiments.generators.prelu import PReLU
from sr_experiments.generators.rrdbnet import RRDBNet
from sr_experiments.generators.srresnet import SRResNet
from sr_experiments.generators.unet import UNet, VelocityUNet
from sr_experiments.packages.extras import install_extra
from sr_experiments.registry import build
from tests.conftest import ROOT

IMAGE = [name for name in GENERATORS if name not in ("frvsr", "basicvsr_uni")]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("slopes", [1, 6])
def test_prelu_learns_as_pytorchs_to_the_bit(slopes, bf16, layout):
    x, gradient = torch.randn(2, 6, 9, 7), torch.randn(2, 6, 9, 7)
    x[0, 0, 0, :3] = 0
    found = []
    for kind in (nn.PReLU, PReLU):
        layer, given = kind(slopes), x.to(memory_format=layout, copy=True).requires_grad_()
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-0.2, 1.1, slopes))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = layer(given)
        y.backward(gradient.to(y.dtype).to(memory_format=layout))
        found.append((y, given.grad, layer.weight.grad))
    for expected, own in zip(*found, strict=True):
        assert torch.equal(own, expected) and own.dtype == expected.dtype
    assert "_PReLU" in type(found[1][0].grad_fn).__name__


def tiny(name, **more):
    return build("generator", GENERATORS, {"name": name, **GENERATORS.small[name], **more})


def test_every_model_file_builds_a_generator():
    for path in (ROOT / "conf" / "model").glob("*.yaml"):
        config = yaml.safe_load(path.read_text())
        name = config.get("model", config).get("name", "frvsr")  # frvsr_rrdb has it from frvsr
        assert isinstance(tiny(name, scale=4, channels=3), Generator), path.name


@pytest.mark.parametrize("name", IMAGE)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(9, 14), (16, 16)])
def test_output_is_scale_times_the_input_and_gradients_reach_everything(name, scale, size):
    if name == "rrdbnet" and scale == 3:
        with pytest.raises(SRError, match="scale=3"):
            tiny(name, scale=3)
        return
    generator = tiny(name, scale=scale)
    sr = generator(torch.rand(2, 3, *size))
    assert generator.scale == scale
    assert sr.shape == (2, 3, scale * size[0], scale * size[1])
    sr.square().mean().backward()
    unused = [n for n, p in generator.named_parameters() if p.requires_grad and p.grad is None]
    assert name == "spandrel" or not unused


@pytest.mark.parametrize("name", ["srresnet", "msrresnet", "rrdbnet", "compact", "unet"])
@pytest.mark.parametrize("channels", [1, 5])
def test_channels_are_a_knob(name, channels):
    assert tiny(name, channels=channels)(torch.rand(1, channels, 8, 8)).shape == (1, channels, 32, 32)


def test_parameter_counts_are_the_published_ones():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    assert count(MSRResNet()) == 1_517_571
    assert count(RRDBNet()) == 16_697_987
    assert count(Compact()) == 621_424  # realesr-animevideov3.pth
    assert count(Compact(convolutions=32)) == 1_213_296  # realesr-general-x4v3.pth
    # NAFNet-SIDD-width32 and NAFNet-GoPro-width32.
    deblurring = {"encoder_blocks": [1, 1, 1, 28], "middle_blocks": 1, "decoder_blocks": [1, 1, 1, 1]}
    assert count(UNet(1)) == 29_159_715
    assert count(UNet(1, **deblurring)) == 17_111_907
    # Ledig et al.: 9x9 in, 16 blocks, one more convolution, two upsamplings, 9x9 out; BN and PReLU.
    conv, bn, prelu = 64 * 64 * 9 + 64, 2 * 64, 1
    blocks = 16 * (2 * (conv + bn) + prelu)
    up = 2 * (64 * 256 * 9 + 256 + prelu)
    assert count(SRResNet()) == (3 * 64 * 81 + 64 + prelu) + blocks + (conv + bn) + up + (64 * 3 * 81 + 3)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_compact_equals_spandrels_with_the_same_weights(scale, tmp_path):
    from spandrel import ModelLoader

    ours = Compact(scale, features=24, convolutions=3).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.1)
    theirs = ModelLoader().load_from_state_dict(ours.state_dict())
    assert theirs.architecture.id == "Compact"
    lr = torch.rand(1, 3, 13, 10)
    with torch.no_grad():
        torch.testing.assert_close(ours(lr), theirs.model.eval()(lr), rtol=0, atol=1e-6)
    torch.save({"params": ours.state_dict()}, tmp_path / "realesr.pth")
    read, checkpoint = load_generator(tmp_path / "realesr.pth")
    assert isinstance(read, Compact)
    assert checkpoint.generator == {"name": "compact", "scale": scale, "channels": 3, "features": 24, "convolutions": 3}
    with torch.no_grad():
        assert torch.equal(read(lr), ours(lr))


@pytest.mark.parametrize("size", [(24, 16), (13, 10)])
def test_unet_equals_spandrels_nafnet_with_the_same_weights(size, tmp_path):
    from spandrel import ModelLoader

    ours = UNet(1, features=8, encoder_blocks=[1, 2, 1], middle_blocks=2, decoder_blocks=[1, 1, 3]).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.1)
    theirs = ModelLoader().load_from_state_dict(ours.state_dict())
    assert theirs.architecture.id == "NAFNet"
    lr = torch.rand(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(ours(lr), theirs.model.eval()(lr), rtol=0, atol=1e-6)
    torch.save({"params": ours.state_dict()}, tmp_path / "NAFNet.pth")
    read, checkpoint = load_generator(tmp_path / "NAFNet.pth")
    assert isinstance(read, UNet)
    assert checkpoint.generator == {
        "name": "unet", "scale": 1, "channels": 3, "features": 8, "encoder_blocks": [1, 2, 1], "middle_blocks": 2,
        "decoder_blocks": [1, 1, 3],
    }  # fmt: skip
    with torch.no_grad():
        assert torch.equal(read(lr), ours(lr))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_unet_begins_as_little_more_than_an_enlargement(scale):
    torch.manual_seed(0)
    network = UNet(scale, features=16)
    smooth = F.interpolate(torch.rand(1, 3, 6, 6), size=(24, 24), mode="bicubic").clamp(0, 1)
    enlarged = F.interpolate(smooth, scale_factor=scale, mode="bilinear", align_corners=False)
    with torch.no_grad():
        psnr = -10 * (network(smooth) - enlarged).square().mean().log10()
    assert 30 < psnr < 60


def test_unet_needs_as_many_levels_down_as_up():
    with pytest.raises(SRError, match=r"encoder_blocks=\[1, 1\] and decoder_blocks=\[1\] .* as many levels"):
        UNet(encoder_blocks=[1, 1], decoder_blocks=[1])


def test_a_velocity_depends_on_each_images_own_time():
    torch.manual_seed(0)
    network = VelocityUNet(features=8, encoder_blocks=[1, 1], middle_blocks=1, decoder_blocks=[1, 1])
    image, time = torch.rand(1, 3, 13, 10).repeat(3, 1, 1, 1), torch.tensor([0.0, 0.5, 0.5])
    with torch.no_grad():
        first, *others = network(image, time)
        assert all(torch.equal(first, other) for other in others)  # to begin with
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    first, second, third = velocity = network(image, time)
    assert velocity.shape == image.shape
    torch.testing.assert_close(second, third)
    assert (first - second).abs().max() > 1e-3
    velocity.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_rrdbnet_equals_spandrels_esrgan_with_the_same_weights():
    from spandrel import ModelLoader

    ours = RRDBNet(features=8, blocks=1).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.1)
    theirs = ModelLoader().load_from_state_dict(ours.state_dict()).model.eval()
    lr = torch.rand(1, 3, 12, 10)
    with torch.no_grad():
        torch.testing.assert_close(ours(lr), theirs(lr), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_msrresnet_equals_a_functional_reference(scale):
    """BasicSR's forward, written from its source with functions only."""
    network = tiny("msrresnet", scale=scale).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    w = network.state_dict()
    lr = torch.rand(1, 3, 7, 6)

    def conv(x, name):
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    x = F.leaky_relu(conv(lr, "conv_first"), 0.1)
    x = x + conv(F.relu(conv(x, "body.0.conv1")), "body.0.conv2")
    for name, step in (("upconv1", 2 if scale != 3 else 3), ("upconv2", 2))[: 2 if scale == 4 else 1]:
        x = F.leaky_relu(F.pixel_shuffle(conv(x, name), step), 0.1)
    x = conv(F.leaky_relu(conv(x, "conv_hr"), 0.1), "conv_last")
    x = x + F.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(network(lr), x)


def test_residual_branches_begin_as_basicsrs_and_the_last_layer_small():
    torch.manual_seed(0)
    network = MSRResNet(blocks=1)
    for name, fan_in, scale in (
        ("body.0.conv1", 576, 0.1), ("body.0.conv2", 576, 0.1), ("upconv1", 576, 1), ("conv_last", 576, 0.01)
    ):  # fmt: skip
        layer = network.get_submodule(name)
        assert layer.weight.std().item() == pytest.approx(scale * (2 / fan_in) ** 0.5, rel=0.05)
        assert not layer.bias.any()
    dense = RRDBNet(blocks=1).body[0].rdb2.conv3
    assert dense.weight.std().item() == pytest.approx(0.1 * (2 / (128 * 9)) ** 0.5, rel=0.05)


def test_first_features_of_msrresnet_are_of_contrast():
    torch.manual_seed(0)
    network = MSRResNet(blocks=2)
    with torch.no_grad():
        flat = network.conv_first(torch.full((1, 3, 8, 8), 0.7))[..., 1:-1, 1:-1]
        lively = network.conv_first(torch.rand(1, 3, 8, 8))
    assert flat.abs().max() < 1e-4 and lively.std() > 0.5


@pytest.mark.parametrize(
    ("name", "scale"), [*((name, scale) for name in ("srresnet", "msrresnet") for scale in (2, 3, 4)), ("rrdbnet", 4)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_begin_as_little_more_than_an_enlargement(name, scale, channels):
    torch.manual_seed(0)
    network = GENERATORS[name](scale=scale, channels=channels, blocks=2)
    smooth = F.interpolate(torch.rand(2, channels, 6, 6), size=(24, 24), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        sr = network(smooth)
    enlarged = F.interpolate(smooth, scale_factor=scale, mode="bilinear", align_corners=False)
    inside = (..., slice(5 * scale, -5 * scale), slice(5 * scale, -5 * scale))  # convolutions pad with zeros
    psnr = -10 * (sr - enlarged)[inside].square().mean().log10()
    assert 30 < psnr < 60
    network(smooth).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_state_dict_names_are_basicsrs():
    names = {n.rsplit(".", 1)[0] for n in tiny("msrresnet").state_dict()}
    assert names == {"conv_first", "body.0.conv1", "body.0.conv2", "upconv1", "upconv2", "conv_hr", "conv_last"}
    names = {n.rsplit(".", 1)[0] for n in tiny("rrdbnet").state_dict()}
    blocks = {f"body.0.rdb{i}.conv{j}" for i in (1, 2, 3) for j in (1, 2, 3, 4, 5)}
    assert names == blocks | {"conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"}


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("swinir", {"depths": [2], "num_heads": [2], "embed_dim": 16}),
        ("HAT", {"depths": [1], "num_heads": [2], "embed_dim": 16, "squeeze_factor": 4, "num_feat": 8}),
        ("DRCT", {"depths": [1], "num_heads": [2], "embed_dim": 16, "gc": 4}),
        ("SAFMN", {"dim": 8, "n_blocks": 1}),
        ("RealCUGAN", {}),
        ("Compact", {"num_feat": 8, "num_conv": 2}),
        ("PLKSR", {"dim": 8, "n_blocks": 2}),
        ("ESRGAN", {"num_filters": 8, "num_blocks": 1}),
    ],
)
def test_spandrel_architectures_become_generators(arch, options):
    generator = tiny("spandrel", arch=arch, options=options, scale=4)
    sr = generator(torch.rand(1, 3, 13, 9))
    assert sr.shape == (1, 3, 52, 36)
    sr.mean().backward()


def test_spandrels_swinir_is_the_published_one():
    """Liang et al. 2021, table 2 and the authors' model zoo: 11.9 M parameters for classical SR x4."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["model=spandrel", "arch=SwinIR"])
    generator = build("generator", GENERATORS, config.model, scale=4, channels=3)
    assert type(generator.net).__name__ == "SwinIR"
    assert sum(p.numel() for p in generator.parameters()) == 11_900_199


@pytest.mark.parametrize("override", ["model.options={feature_channels: 8}", "+model.options.feature_channels=8"])
def test_options_of_an_architecture_can_be_given_on_the_command_line(override):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["model=spandrel", "arch=span", override])
    generator = build("generator", GENERATORS, config.model, scale=2)
    assert generator.net.state_dict()["conv_1.eval_conv.weight"].shape == (8, 3, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"arch": "nonsense"}, "SwinIR"),
        ({"arch": "SPAN", "options": {"depth": 3}}, "feature_channels"),
        ({"arch": "SCUNet"}, "super-resolution"),
        ({"arch": "SwinIR", "options": {"window_size": 7}}, "window_size=7"),
        ({"arch": "SwinIR", "options": {"upsampler": "", "embed_dim": 12, "depths": [1], "num_heads": [2]}}, "scale"),
        ({"arch": "SAFMN", "channels": 1}, "SAFMN"),
    ],
)
def test_spandrel_mistakes_say_what_there_is(arguments, says):
    with pytest.raises(SRError, match=says) as refused:
        build("generator", GENERATORS, {"name": "spandrel", **arguments})
    assert "\n" not in str(refused.value)


def test_without_spandrel_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(SRError, match=re.escape(install_extra("spandrel"))):
        build("generator", GENERATORS, {"name": "spandrel"})
