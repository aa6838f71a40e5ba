"""Perceptual losses and their weights: made here, found through the real loading code."""

import json
import os
import shutil

import lpips
import pytest
import torch
import torchvision
from torch import nn

from sr_experiments.checkpoints.backbones import pretrained_features
from sr_experiments.errors import SRError
from sr_experiments.losses.perceptual import DISTSLoss, LPIPSLoss, VGG16Loss, VGGLoss, vgg_layers
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.lpips import LPIPS
from sr_experiments.pretrained.catalogue import weights_file
from sr_experiments.pretrained.fetch import WeightsUnavailable
from sr_experiments.registry import build


def test_layer_indices_match_torchvision():
    layers = vgg_layers("vgg19")
    assert (layers["conv1_2"], layers["conv2_2"], layers["conv3_4"], layers["conv4_4"], layers["conv5_4"]) == (
        2, 7, 16, 25, 34)  # fmt: skip
    for net in ("vgg19", "vgg16"):
        with torch.device("meta"):
            features = getattr(torchvision.models, net)(weights=None).features
        layers = vgg_layers(net)
        for name, index in layers.items():
            assert isinstance(features[index], nn.Conv2d if name.startswith("conv") else nn.ReLU)
        assert sum(isinstance(layer, nn.Conv2d) for layer in features) == len(layers) / 2


def test_vgg_loss_is_the_distance_of_features_before_relu(with_weights):
    loss = VGGLoss({"conv1_2": 0.5, "conv2_2": 2.0}, criterion="l1")
    sr, hr = torch.rand(2, 3, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
    reference = torchvision.models.vgg19(weights=None)
    reference.load_state_dict(torch.load(weights_file("vgg19"), weights_only=True), strict=False)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = 0.0
    for index, weight in ((2, 0.5), (7, 2.0)):
        part = reference.features[: index + 1]
        a, b = (part(((x - mean[:, None, None]) / std[:, None, None]).detach()) for x in (sr, hr))
        assert (a < 0).any(), "before ReLU"
        expected += weight * (a - b).abs().mean().item()
    value = loss(sr, hr)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert sr.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in loss.parameters())


def test_vgg16_loss_is_the_distance_of_its_features(with_weights):
    sr, hr = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    features = pretrained_features("vgg16")[:29]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    a, b = (features((x - mean[:, None, None]) / std[:, None, None]) for x in (sr, hr))
    assert VGG16Loss()(sr, hr).item() == pytest.approx((a - b).abs().mean().item(), rel=1e-5)
    with pytest.raises(SRError, match="VGG16 has no layer 'conv5_4'"):
        VGG16Loss({"conv5_4": 1.0})


@pytest.fixture
def without_vgg19(random_weights, tmp_path, monkeypatch):
    """VGG16's weights are there, VGG19's are not."""
    home = tmp_path / "without_vgg19"
    shutil.copytree(random_weights, home, copy_function=os.link)
    monkeypatch.setenv("TORCH_HOME", str(home))
    weights_file("vgg19").unlink()


def test_vgg16_takes_the_place_of_vgg19_and_it_is_said(train, without_vgg19, caplog, capsys):
    layers = {"conv1_2": 0.1, "conv4_4": 1.0, "conv5_3": 0.5, "conv5_4": 1.0, "relu3_4": 2.0, "conv2_1": None}
    overrides = [
        f"+loss.terms.perceptual.layers.{name}={weight}" for name, weight in layers.items() if name != "conv5_4"
    ]
    overrides = [o.replace("=None", "=null") for o in overrides]
    folder = train("+loss/perceptual=vgg19", *overrides, "trainer.max_steps=2")
    summary = json.loads((folder / "summary.json").read_text())
    said = "vgg16 (conv5_3 1.5, conv1_2 0.1, conv4_3 1, relu3_3 2) takes the place of vgg19: the vgg19 weights are not"
    assert summary["substituted"]["perceptual loss"].startswith(said)
    assert "perceptual loss" not in summary["left_out"] and "vgg16" in summary["pretrained"]
    assert said in caplog.text and said in capsys.readouterr().err.rsplit("finished", 1)[0]
    assert "loss/perceptual" in (folder / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_resume_that_changes_the_loss_says_so(train, without_vgg19, random_weights, tmp_path, monkeypatch, caplog):
    def resumed(folder, home, steps):
        caplog.clear()
        monkeypatch.setenv("TORCH_HOME", str(home))
        train(f"resume={folder}", f"trainer.max_steps={steps}")
        return caplog.text

    folder = train("+loss/perceptual=vgg19", "trainer.max_steps=2")
    assert "by another network than so far" in resumed(folder, random_weights, 4)
    assert "from here on the run is without it" in resumed(folder, tmp_path / "nothing", 6)
    assert "from here on it acts" in resumed(folder, random_weights, 8)
    assert "from here on" not in resumed(folder, random_weights, 10)


def test_vgg16_does_not_take_the_place_of_a_required_vgg19(train, without_vgg19, capsys):
    with pytest.raises(SystemExit):
        train("+loss/perceptual=vgg19", "loss.terms.perceptual.required=true")
    assert "perceptual loss is required: the vgg19 weights are not on this machine" in capsys.readouterr().err


@pytest.mark.parametrize("loss", [VGGLoss, VGG16Loss, LPIPSLoss, DISTSLoss])
def test_weights_stay_out_of_checkpoints_and_in_eval_mode(with_weights, loss):
    parent = nn.ModuleDict({"net": nn.Linear(1, 1), "loss": loss()}).train()
    assert set(parent.state_dict()) == {"net.weight", "net.bias"}
    parent.load_state_dict(parent.state_dict())
    assert not any(module.training for module in parent["loss"].modules())


def test_another_networks_weights_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), weights_file("vgg19"))
    with pytest.raises(SRError, match="has not the weights of torchvision's vgg19"):
        VGGLoss()


def test_grey_images_are_taken(with_weights):
    grey = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    rgb = [x.expand(-1, 3, -1, -1) for x in grey]
    loss = VGGLoss({"conv1_1": 1.0})
    assert loss(*grey).item() == pytest.approx(loss(*rgb).item())


def test_unknown_layer_lists_the_known():
    with pytest.raises(SRError, match="conv5_4"):
        VGGLoss({"conv6_1": 1.0})


def test_lpips_equals_the_packages_own_network_with_the_same_trunk(with_weights):
    """lpips, left to itself, loads the trunk through torchvision from the same cache."""
    reference = lpips.LPIPS(net="alex", verbose=False)
    sr, hr = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    rounded = [(x * 255).round() / 255 for x in (sr, hr)]
    with torch.no_grad():
        expected = reference(*(2 * x - 1 for x in rounded)).flatten()
    torch.testing.assert_close(LPIPS("alex").per_image(sr, hr), expected)
    cropped = LPIPS("alex", crop_border=4)
    cropped.update(sr, hr)
    with torch.no_grad():
        inner = reference(*(2 * x[..., 4:-4, 4:-4] - 1 for x in rounded)).mean()
    assert cropped.compute().item() == pytest.approx(inner.item(), rel=1e-5)
    assert "alex" in cropped.convention
    x = sr.clone().requires_grad_(True)
    LPIPSLoss("alex")(x, hr).backward()
    assert x.grad.abs().sum() > 0


def test_missing_weights_name_the_file_and_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailable) as missing:
        VGGLoss()
    assert "vgg19-dcbb9e9d.pth" in str(missing.value)
    assert str(tmp_path) in str(missing.value)
    with pytest.raises(SRError, match="its net is 'resnet': give alex, vgg or squeeze"):
        build("metric", METRICS, {"name": "lpips", "net": "resnet"})
