"""Checkpoints of every style in the wild, made here, must give the same network back; bad ones one line."""

import os
import pickle
import re
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sr_experiments.checkpoints.initialise import describe_mismatch, load_weights
from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import read
from sr_experiments.errors import SRError
from sr_experiments.generators.msrresnet import MSRResNet
from sr_experiments.generators.rrdbnet import RRDBNet
from sr_experiments.generators.spandrel_arch import SpandrelGenerator
from sr_experiments.generators.srresnet import SRResNet
from sr_experiments.generators.unet import UNet
from tests.conftest import others_slow

RRDB = {"features": 8, "blocks": 3, "growth": 4}


def randomised(network):
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


def to_esrgan_names(state):
    """BasicSR's names to those of the ESRGAN repository, by the table in its transfer script."""
    renames = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}
    out = {}
    for name, tensor in state.items():
        name = re.sub(r"body\.(\d+)\.rdb(\d)\.conv", r"RRDB_trunk.\1.RDB\2.conv", name)
        head, _, tail = name.partition(".")
        out[f"{renames.get(head, head)}.{tail}"] = tensor
    return out


def to_old_names(state, blocks):
    """BasicSR's names to those of ESRGAN's first release."""
    renames = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}", "conv_up1": "model.3",
               "conv_up2": "model.6", "conv_hr": "model.8", "conv_last": "model.10"}  # fmt: skip
    out = {}
    for name, tensor in state.items():
        name = re.sub(r"body\.(\d+)\.rdb(\d)\.conv(\d)\.", r"model.1.sub.\1.RDB\2.conv\3.0.", name)
        head, _, tail = name.partition(".")
        out[f"{renames[head]}.{tail}" if head in renames else name] = tensor
    return out


STYLES = {
    "plain": lambda s: s,
    "params": lambda s: {"params": s},
    "params_ema": lambda s: {"params": {k: v + 1 for k, v in s.items()}, "params_ema": s},
    "params-ema": lambda s: {"params-ema": s, "params": {k: v + 1 for k, v in s.items()}},
    "state_dict": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 3},
    "netG": lambda s: {f"netG.{k}": v for k, v in s.items()},
    "generator": lambda s: {"model": {f"generator.{k}": v for k, v in s.items()}},
    "beside a discriminator": lambda s: {
        "state_dict": {f"netG.{k}": v for k, v in s.items()} | {"netD.conv0.weight": torch.ones(2)}
    },
    "esrgan": lambda s: to_esrgan_names(s),
    "esrgan in params_ema": lambda s: {"params_ema": to_esrgan_names(s)},
    "first release": lambda s: to_old_names(s, 3),
    "first release, wrapped": lambda s: {"state_dict": {f"module.{k}": v for k, v in to_old_names(s, 3).items()}},
}


def to_mmsr_names(state):
    """BasicSR's names of MSRResNet to those of mmsr and KAIR."""
    return {name.replace("body.", "recon_trunk.").replace("conv_hr.", "HRconv."): t for name, t in state.items()}


WRAPPED = {
    "plain": lambda s: s,
    "DataParallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "AveragedModel": lambda s: {"n_averaged": torch.tensor(7)} | {f"module.{k}": v for k, v in s.items()},
    "AveragedModel in params_ema": lambda s: {"params_ema": WRAPPED["AveragedModel"](s)},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "averaged, compiled, parallel": lambda s: WRAPPED["AveragedModel"](
        {f"_orig_mod.module.{k}": v for k, v in s.items()}
    ),
    **{
        f"lone prefix {prefix}": lambda s, prefix=prefix: {"state_dict": {f"{prefix}.{k}": v for k, v in s.items()}}
        for prefix in ("net_g", "generator", "model", "netG", "G", "params", "params_ema", "mine", "model.net_g.module")
    },
    "averaged before raw": lambda s: {
        **{f"params.{k}": v + 1 for k, v in s.items()}, **{f"params_ema.{k}": v for k, v in s.items()}
    },
    "Lightning, several networks": lambda s: {
        "state_dict": {f"net_g._orig_mod.{k}": v for k, v in s.items()}
        | {f"net_d.{k}": v + 1 for k, v in s.items()}
        | {"perceptual.vgg.features.0.weight": torch.ones(2), "psnr.total": torch.tensor(1)},
        "epoch": 3, "global_step": 9,
    },
    "Lightning, another name": lambda s: {
        "state_dict": {f"model.{k}": v for k, v in s.items()} | {"criterion.vgg.conv.weight": torch.ones(2)}
    },
    "Lightning, average of the generator": lambda s: {
        "state_dict": {f"generator.{k}": v + 1 for k, v in s.items()}
        | {f"generator_ema.module.{k}": v for k, v in s.items()} | {"generator_ema.n_averaged": torch.tensor(3)}
        | {"discriminator.conv0.weight": torch.ones(2)}
    },
    "averages by key": lambda s: {"G_ema": s, "G": {k: v + 1 for k, v in s.items()}, "D": {"x": torch.ones(2)}},
    "student and teacher": lambda s: {
        "state_dict": {f"student.{k}": v for k, v in s.items()} | {f"teacher.{k}": v + 1 for k, v in s.items()}
    },
    "networks by key": lambda s: {"net_g": s, "net_d": {k: v + 1 for k, v in s.items()}, "iter": 5},
}  # fmt: skip
NETWORKS = {
    "rrdbnet": (lambda: RRDBNet(**RRDB), lambda s: s),
    "rrdbnet, ESRGAN names": (lambda: RRDBNet(**RRDB), to_esrgan_names),
    "rrdbnet, first ESRGAN names": (lambda: RRDBNet(**RRDB), lambda s: to_old_names(s, 3)),
    "msrresnet": (lambda: MSRResNet(4, 3, 8, 2), lambda s: s),
    "msrresnet x3, mmsr names": (lambda: MSRResNet(3, 3, 8, 2), to_mmsr_names),
    "srresnet": (lambda: SRResNet(2, 3, 8, 1), lambda s: s),
    "rrdbnet x1": (lambda: RRDBNet(1, **RRDB), lambda s: s),
    "unet": (lambda: UNet(1, 3, 8, [1, 2], 2, [2, 1]), lambda s: s),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("kind", others_slow(["rrdbnet, first ESRGAN names", "unet"], NETWORKS))
def test_a_network_is_read_to_the_bit_however_it_was_wrapped(tmp_path, kind, wrapped):
    make, rename = NETWORKS[kind]
    network = randomised(make())
    torch.save(WRAPPED[wrapped](rename(network.state_dict())), tmp_path / "net.pth")
    found, _ = load_generator(tmp_path / "net.pth")
    lr = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(found(lr), network(lr))


def test_a_spandrel_network_behind_a_prefix_of_any_name_is_read(tmp_path):
    network = randomised(SpandrelGenerator(2, "SAFMN", options={"dim": 8, "n_blocks": 1}).net)
    for prefix in ("whatever.", "net_g.", "module._orig_mod."):
        torch.save({f"{prefix}{k}": v for k, v in network.state_dict().items()}, tmp_path / "net.pth")
        found, _ = load_generator(tmp_path / "net.pth")
        assert torch.equal(found.net.state_dict()["to_feat.weight"], network.state_dict()["to_feat.weight"])


def test_relatives_that_would_give_other_pictures_are_refused_with_the_reason(tmp_path):
    state = MSRResNet(4, features=8, blocks=1).state_dict()
    renames = {"body": "trunk_net", "upconv1": "upsample1.upsample_conv", "upconv2": "upsample2.upsample_conv"}
    mmagic = {re.sub(r"^\w+", lambda m: renames.get(m[0], m[0]), f"{name}"): t for name, t in state.items()}
    torch.save({"state_dict": {f"generator.{name}": t for name, t in mmagic.items()}}, tmp_path / "mmagic.pth")
    with pytest.raises(SRError, match=r"mmagic's MSRResNet isn't read: it has no activation"):
        load_generator(tmp_path / "mmagic.pth")
    edvr = to_mmsr_names(state) | {"feature_extraction.0.conv1.weight": torch.ones(8, 8, 3, 3)}
    torch.save(edvr, tmp_path / "edvr.pth")
    assert read(tmp_path / "edvr.pth").generator is None


def test_several_networks_of_which_none_is_called_the_generator_are_named(tmp_path):
    state = MSRResNet(2, features=4, blocks=1).state_dict()
    torch.save({f"{name}.{k}": v for name in ("net_a", "net_b") for k, v in state.items()}, tmp_path / "two.pth")
    with pytest.raises(SRError, match="it holds several networks, net_a, net_b: keep the generator alone"):
        load_generator(tmp_path / "two.pth")


@pytest.mark.parametrize("style", STYLES)
def test_every_style_gives_the_same_network_back(tmp_path, style):
    network = randomised(RRDBNet(**RRDB))
    file = tmp_path / "net.pth"
    torch.save(STYLES[style](network.state_dict()), file)
    checkpoint = read(file)
    assert checkpoint.generator == {"name": "rrdbnet", "scale": 4, "channels": 3, **RRDB}
    fresh = RRDBNet(**RRDB).eval()
    report = load_weights(fresh, checkpoint)
    assert not (report.missing or report.unexpected or report.mismatched)
    lr = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(fresh(lr), network(lr))


@pytest.mark.parametrize(
    ("network", "config"),
    [
        (MSRResNet(4, 3, 8, 2), {"name": "msrresnet", "scale": 4, "channels": 3, "features": 8, "blocks": 2}),
        (MSRResNet(2, 1, 8, 3), {"name": "msrresnet", "scale": 2, "channels": 1, "features": 8, "blocks": 3}),
        (MSRResNet(3, 3, 4, 11), {"name": "msrresnet", "scale": 3, "channels": 3, "features": 4, "blocks": 11}),
        (SRResNet(4, 3, 8, 2), {"name": "srresnet", "scale": 4, "channels": 3, "features": 8, "blocks": 2}),
        (SRResNet(3, 1, 8, 1), {"name": "srresnet", "scale": 3, "channels": 1, "features": 8, "blocks": 1}),
        (
            RRDBNet(2, 3, 8, 1, 4),
            {"name": "rrdbnet", "scale": 2, "channels": 3, "features": 8, "blocks": 1, "growth": 4},
        ),
        (
            RRDBNet(1, 1, 8, 1, 4),
            {"name": "rrdbnet", "scale": 1, "channels": 1, "features": 8, "blocks": 1, "growth": 4},
        ),
    ],
    ids=lambda x: "-".join(map(str, x.values())) if isinstance(x, dict) else "",
)
def test_architecture_and_sizes_are_inferred(tmp_path, network, config):
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    assert read(tmp_path / "net.safetensors").generator == config


def test_own_run_folder_gives_the_ema_weights_of_its_best(tmp_path):
    network = randomised(MSRResNet(2, features=4, blocks=1))
    config = {"name": "msrresnet", "scale": 2, "channels": 3, "features": 4, "blocks": 1}
    state = {f"ema.{k}": v for k, v in network.state_dict().items()}
    state |= {f"generator.{k}": v + 1 for k, v in network.state_dict().items()}
    record = {"format": 1, "generator": config, "step": 7}
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": state, "sr_experiments": record}, tmp_path / "checkpoints" / "best.ckpt")
    torch.save({"x": 1}, tmp_path / "checkpoints" / "last.ckpt")
    checkpoint = read(tmp_path)
    assert (checkpoint.generator, checkpoint.step) == (config, 7)
    assert torch.equal(checkpoint.state_dict["conv_hr.weight"], network.conv_hr.weight)


@pytest.mark.parametrize(
    ("record", "says"),
    [({"format": 2, "generator": {"name": "msrresnet"}, "step": 1}, "format 2"), ({"format": 1}, "incomplete"),
     ({"format": 1, "generator": {"name": "msrresnet"}, "step": 1}, "no generator weights")],
)  # fmt: skip
def test_own_checkpoint_that_cannot_be_read_says_why(tmp_path, record, says):
    torch.save({"state_dict": {"discriminator.x": torch.ones(1)}, "sr_experiments": record}, tmp_path / "own.ckpt")
    with pytest.raises(SRError, match=says):
        read(tmp_path / "own.ckpt")


def test_relatives_of_rrdbnet_are_not_taken_for_it(tmp_path):
    plain = RRDBNet(**RRDB).state_dict()
    relatives = {
        "ESRGAN+": plain | {"body.0.rdb1.conv1x1.weight": torch.ones(4, 8, 1, 1)},
        "one upsampling": {k: v for k, v in plain.items() if "conv_up2" not in k},
        "depth as a fourth channel": plain | {"conv_first.weight": torch.ones(8, 7, 3, 3)},
    }
    for name, state in relatives.items():
        torch.save(state, tmp_path / "relative.pth")
        assert read(tmp_path / "relative.pth").generator is None, name


def test_published_weights_of_a_spandrel_architecture_initialise_its_generator(tmp_path):
    options = {"dim": 8, "n_blocks": 1}
    published = randomised(SpandrelGenerator(2, "SAFMN", options=options).net)
    torch.save({"params_ema": published.state_dict()}, tmp_path / "safmn.pth")
    generator = SpandrelGenerator(2, "SAFMN", options=options)
    report = load_weights(generator, read(tmp_path / "safmn.pth"))
    assert not (report.missing or report.unexpected or report.mismatched)
    assert all(torch.equal(w, generator.net.state_dict()[k]) for k, w in published.state_dict().items())


def test_mismatch_names_only_what_differs():
    saved = {"name": "rrdbnet", "scale": 4, "blocks": 23}
    assert describe_mismatch(saved, saved | {"blocks": 16}) == "the checkpoint has blocks=23, the run blocks=16"


def test_another_scale_keeps_what_fits_and_says_what_does_not(tmp_path):
    torch.save(randomised(MSRResNet(2, features=4, blocks=2)).state_dict(), tmp_path / "x2.pth")
    network = MSRResNet(4, features=4, blocks=2)
    report = load_weights(network, read(tmp_path / "x2.pth"))
    assert report.missing == ["upconv2.weight", "upconv2.bias"]
    assert "upconv2.weight" in report.summary()


@pytest.mark.parametrize(
    ("network", "says"),
    [(RRDBNet(**RRDB), "rrdbnet.*msrresnet"), (MSRResNet(features=6, blocks=2), "features=6.*features=4")],
)
def test_another_network_is_refused_with_what_differs(tmp_path, network, says):
    torch.save(network.state_dict(), tmp_path / "other.pth")
    with pytest.raises(SRError, match=says):
        load_weights(MSRResNet(features=4, blocks=2), read(tmp_path / "other.pth"))


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickle_is_refused_and_does_not_run(tmp_path, zipped):
    trace, file = tmp_path / "ran", tmp_path / "hostile.pth"
    if zipped:
        torch.save({"params": _Hostile(trace)}, file)
    else:
        file.write_bytes(pickle.dumps({"params": _Hostile(trace)}, protocol=2))
    with pytest.raises(SRError) as refused:
        read(file)
    assert "system" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not trace.exists()


class _Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def torchscript(path):
    torch.jit.save(torch.jit.script(_Doubled()), str(path))


def exported(path):
    torch.export.save(torch.export.export(_Doubled(), (torch.ones(2),)), str(path.with_suffix(".pt2")))
    path.with_suffix(".pt2").rename(path)


def onnx_network(path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "g", [], [])
    path.write_bytes(onnx.helper.make_model(graph, producer_name="pytorch").SerializeToString())


def damaged_zip(path):
    """An archive whose directory of files begins with other bytes."""
    zipped(path)
    path.write_bytes(path.read_bytes().replace(b"PK\1\2", b"PK\1\3"))


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/net_g.pth", b"x")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: download it again"),
        (bytes(5000), "begins with zeros: download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html><title>Google Drive", "a web page: download it again"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page: download it again"),
        (b'{"message": "Not Found"}', "JSON, not weights: download it again"),
        (b"7767517\n3 3\nInput data 0 1 data", "is damaged: its layers"),
        (b"\x47\x6b\x30\x01" + bytes(range(60)), "weights of ncnn: put the .param"),
        (b"\x1f\x8b\x08" + bytes(range(60)), "a compressed archive: unpack it"),
        (torchscript, "a TorchScript program: give the .pth"),
        (exported, "a program of torch.export: give the .pth"),
        (onnx_network, "an ONNX network: give the .pth"),
        (zipped, "a zip archive of other files: unpack it"),
        (damaged_zip, "is damaged: download it again"),
    ],
)
def test_another_file_under_the_name_of_a_checkpoint_is_recognised(tmp_path, content, says):
    file = tmp_path / "net.pth"
    if callable(content):
        content(file)
    else:
        file.write_bytes(content)
    with pytest.raises(SRError, match=says) as refused:
        read(file)
    assert "\n" not in str(refused.value) and str(file) in str(refused.value)


def test_a_file_is_read_by_its_content_whatever_its_extension(tmp_path):
    network = randomised(MSRResNet(2, features=4, blocks=1))
    save_file(network.state_dict(), tmp_path / "really_safetensors.pth")
    torch.save(network.state_dict(), tmp_path / "really_pth.safetensors")
    for file in tmp_path.iterdir():
        assert torch.equal(load_generator(file)[0].conv_last.weight, network.conv_last.weight)


def test_what_is_no_checkpoint_gets_one_line(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save(MSRResNet(features=4, blocks=1).state_dict(), whole)
    files = {
        "truncated.pth": whole.read_bytes()[:5000],
        "text.pth": b"hello",
        "empty.pth": b"",
        "truncated.safetensors": b"\xff" * 40,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SRError, match=name) as refused:
            read(tmp_path / name)
        assert "\n" not in str(refused.value)
    damaged = bytearray(whole.read_bytes())
    start = damaged.index(b"conv_first.weight")
    damaged[start + 20 : start + 60] = bytes(range(200, 240))
    (tmp_path / "damaged.pth").write_bytes(damaged)
    torch.save({"epoch": 3}, tmp_path / "nothing.pth")
    itself = {"epoch": 3}
    itself["model"] = itself
    torch.save(itself, tmp_path / "itself.pth")
    for path in ("nothing.pth", "missing.pth", "damaged.pth", "itself.pth", "."):
        with pytest.raises(SRError):
            read(tmp_path / path)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32])
def test_weights_in_integers_are_refused_since_their_scale_is_not_known(tmp_path, kind):
    state = {name: (127 * tensor).to(kind) for name, tensor in randomised(MSRResNet(2, 3, 4, 1)).state_dict().items()}
    torch.save({"params": state}, tmp_path / "int8.pth")
    with pytest.raises(SRError, match=r"int8.pth has integers for weights \(conv_first.weight is u?int"):
        read(tmp_path / "int8.pth")
