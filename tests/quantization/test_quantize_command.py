"""`sr quantize`, and `sr upscale` with what it makes: of tiny networks, whose time is the commands' own."""

import copy
import importlib.util
import io
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sr_experiments.checkpoints.files import INT8, RECORD
from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.export.export import export, write_network
from sr_experiments.generators import GENERATORS
from sr_experiments.inference import device
from sr_experiments.inference.device import choose_precision
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.int8 import QuantizedConvolution, steps_of
from sr_experiments.packages.extras import install_extra
from sr_experiments.quantization import cache
from sr_experiments.quantization.calibrate import Calibrated
from sr_experiments.quantization.choose import Bounds
from sr_experiments.quantization.command import run
from sr_experiments.quantization.file import read, write
from sr_experiments.quantization.network import QuantizedNetwork, with_quantised_weights

pytestmark = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs nncf: the extra int8")

FEW = ("--images", 8)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "cache"))


def photograph(height: int, width: int) -> np.ndarray:
    import skimage.data

    return np.ascontiguousarray(skimage.data.chelsea()[40 : 40 + height, 60 : 60 + width])


def folder_of(folder, images):
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs(first.astype(int) - second)


@pytest.fixture(scope="module")
def int8_file(tmp_path_factory):
    """A file of `sr quantize`, of the network that `weights()` makes, and what the command printed."""
    folder = tmp_path_factory.mktemp("int8")
    torch.manual_seed(0)
    generator = GENERATORS["msrresnet"](scale=2, **GENERATORS.small["msrresnet"])
    torch.save({"params": generator.state_dict()}, folder / "msrresnet_x2_0.pth")
    file, said = folder / "int8.safetensors", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setenv("COLUMNS", "200")
        patch.setenv("SR_OFFLINE", "1")
        patch.setenv("TORCH_HOME", str(folder))
        run(folder / "msrresnet_x2_0.pth", file, None, 8, 0.05, 45.0, False)
    return file, said.getvalue()


def test_it_is_measured_written_and_used_for_any_size(sr, weights, int8_file, tmp_path):
    file, said = int8_file
    for text in ("PSNR (Y)", "SSIM (Y)", "dB to fp32", "largest", "times fp32", "fp32", "int8", "100% of the multiply"):
        assert text in said
    network = read(file)
    measured = network.facts["measured"]
    assert measured["int8"]["psnr_to_fp32"] >= 45 and measured["fp32"]["largest"] == 0
    assert measured["fp32"]["psnr_y"] - measured["int8"]["psnr_y"] <= 0.05
    assert set(network.facts["versions"]) >= {"torch", "openvino", "nncf"} and len(network.facts["digest"]) == 64
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()[INT8])["generator"]["name"] == "msrresnet"
        assert opened.get_tensor("body.0.conv1.weight").dtype == torch.int8
    fp32 = Engine(load_generator(weights())[0], "cpu", "fp32")
    for height, width in ((31, 57), (1, 1), (130, 40)):
        picture = photograph(height, width)
        Image.fromarray(picture).save(tmp_path / "in.png")
        used = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", file, "--overwrite")
        assert used.code == 0 and "(cpu, int8)" in used.out, used.err
        assert "int8.safetensors (int8 of msrresnet_x2_0.pth" in used.err
        made = np.array(Image.open(tmp_path / "out.png"))
        found = difference(made, fp32.upscale(picture))
        assert made.shape == (2 * height, 2 * width, 3) and found.max() <= 6 and found.mean() < 1


@pytest.mark.slow
def test_white_stays_white_after_calibration_on_dark_pictures(sr, weights, tmp_path):
    dark = [photograph(100, 120) // (3 + i) for i in range(4)]
    data = folder_of(tmp_path / "dark", dark)
    done = sr("quantize", weights(), "-o", tmp_path / "int8.safetensors", "--data", data, *FEW)
    assert done.code == 0, done.err
    network = read(tmp_path / "int8.safetensors")
    first = network.layers["conv_first"]
    assert first.low <= 0 and first.high >= 1
    engine = Engine(network.generator, "cpu", "int8", int8=network.layers)
    fp32 = Engine(load_generator(weights())[0], "cpu", "fp32")
    for value in (0, 190, 255):
        flat = np.full((40, 48, 3), value, np.uint8)
        assert difference(engine.upscale(flat), fp32.upscale(flat)).max() <= 3


@pytest.mark.slow
def test_what_misses_the_bound_is_not_written(sr, weights, tmp_path):
    target = tmp_path / "int8.safetensors"
    done = sr("quantize", weights(), "-o", target, *FEW, "--fidelity", 99)
    assert done.code == 2 and not target.exists()
    (line,) = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert "int8 can't be had" in line and "99 dB to its output" in line
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.slow
def test_a_costly_convolution_stays_in_higher_precision(sr, weights, tmp_path):
    """One convolution whose input has a spike 1000 times its usual size has nothing left of 256 levels."""
    checkpoint = torch.load(weights("compact", features=8, convolutions=3), weights_only=True)
    state = checkpoint["params"]
    torch.manual_seed(1)
    state["body.4.weight"][0] *= 1000  # a channel of the input of body.6, which then makes little of it
    state["body.4.bias"][0] *= 1000
    state["body.6.weight"][:, 0] /= 1000
    state["body.8.weight"] += torch.randn(state["body.8.weight"].shape) * 0.02  # what the layers before make counts
    torch.save(checkpoint, tmp_path / "spike.pth")
    done = sr("quantize", tmp_path / "spike.pth", "-o", tmp_path / "int8.safetensors", *FEW, "--max-drop", 1)
    assert done.code == 0, done.err
    network = read(tmp_path / "int8.safetensors")
    assert "body.6" in network.facts["kept"] and len(network.layers) >= 3
    assert network.facts["measured"]["int8"]["psnr_to_fp32"] >= 45


@pytest.mark.slow
def test_a_checkpoint_is_quantised_once(sr, weights, tmp_path):
    Image.fromarray(photograph(30, 33)).save(tmp_path / "in.png")

    def upscale(name):
        return sr("upscale", tmp_path / "in.png", "-o", tmp_path / name, "-c", weights(), "--precision", "int8")

    first, second = upscale("1.png"), upscale("2.png")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "making this network's int8 form" in first.err and "making" not in second.err
    assert "(cpu, int8)" in first.out and "(cpu, int8)" in second.out
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    (kept,) = (tmp_path / "cache/int8").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-100])  # damaged
    shutil.rmtree(tmp_path / "cache/openvino", ignore_errors=True)  # with which that isn't read
    third = upscale("3.png")
    assert third.code == 0 and "it is made again" in third.err
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "3.png").read_bytes()


@pytest.mark.slow
def test_what_cannot_be_had_in_int8_is_said_and_remembered(sr, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BOUNDS", Bounds(max_drop=0.05, fidelity=99))
    Image.fromarray(photograph(30, 33)).save(tmp_path / "in.png")
    said = []
    for name in ("1.png", "2.png"):
        done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / name, "-c", weights(), "--precision", "int8")
        assert done.code == 0 and (tmp_path / name).is_file(), done.err
        assert "int8 can't be had" in done.err and f"(cpu, {choose_precision('auto', torch.device('cpu'))})" in done.out
        said.append(done.err)
    assert "making" in said[0] and "making" not in said[1]


@pytest.mark.slow
def test_of_two_that_start_together_one_makes_it(weights, tmp_path, caplog):
    caplog.set_level("INFO", "sr_experiments")
    generator, found = load_generator(weights())
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda _: cache.made_once(copy.deepcopy(generator), found, None), range(2)))
    assert caplog.text.count("making this network's int8 form") == 1
    assert made[0].layers.keys() == made[1].layers.keys()


@pytest.mark.slow
def test_the_cache_is_bounded(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 2)
    folder = tmp_path / "cache/int8"
    folder.mkdir(parents=True)
    for i in range(4):
        (folder / f"{i}.safetensors").touch()
        os.utime(folder / f"{i}.safetensors", (i, i))
    cache.made_once(*load_generator(weights()), None)
    left = {path.name for path in folder.glob("*.safetensors")}
    assert len(left) == 2 and "3.safetensors" in left


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_costs_only_time(sr, weights, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "file/inside"))
    Image.fromarray(photograph(30, 33)).save(tmp_path / "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", weights(), "--precision", "int8")
    assert done.code == 0 and "can't be written" in done.err and "(cpu, int8)" in done.out


@pytest.mark.slow
def test_frvsr_has_its_sr_net_in_int8(sr, tmp_path):
    config = {"name": "frvsr", "scale": 2, "srnet": {"name": "compact", "features": 8, "convolutions": 1}}
    torch.manual_seed(0)
    state = GENERATORS["frvsr"](scale=2, srnet=config["srnet"]).state_dict()
    checkpoint = tmp_path / "frvsr.pth"
    torch.save({"params": state, RECORD: {"format": 1, "generator": config}}, checkpoint)
    done = sr("quantize", checkpoint, "-o", tmp_path / "int8.safetensors", *FEW, "--max-drop", 1, "--fidelity", 35)
    assert done.code == 0, done.err
    frames = folder_of(tmp_path / "frames", [photograph(36, 44)[i : i + 33, i : i + 41] for i in range(3)])
    done = sr("upscale", frames, "-o", tmp_path / "out", "-c", tmp_path / "int8.safetensors")
    assert done.code == 0, done.err
    fp32 = Engine(load_generator(checkpoint)[0], "cpu", "fp32")
    for i in range(3):
        expected = fp32.next_frame(np.array(Image.open(frames / f"{i}.png")))
        assert difference(np.array(Image.open(tmp_path / "out" / f"{i}.png")), expected).mean() < 3


def test_a_network_that_hands_on_features_is_refused(sr, weights, tmp_path):
    checkpoint = weights("basicvsr_uni")
    done = sr("quantize", checkpoint, "-o", tmp_path / "int8.safetensors", *FEW)
    assert done.code == 2 and "hands on features, in which errors of int8 would add up" in done.err
    frames = folder_of(tmp_path / "frames", [photograph(36, 44)] * 2)
    done = sr("upscale", frames, "-o", tmp_path / "out", "-c", checkpoint, "--precision", "int8")
    assert done.code == 0 and "hands on features" in done.err and "int8)" not in done.out


def test_a_network_of_bands_is_refused(sr, weights, tmp_path):
    checkpoint = weights("msrresnet", channels=5)
    done = sr("quantize", checkpoint, "-o", tmp_path / "int8.safetensors", *FEW)
    assert done.code == 2 and "is of 5 bands, and int8 is measured on grey and RGB images" in done.err
    tifffile.imwrite(
        tmp_path / "in.tif", np.zeros((24, 32, 5), np.uint8), photometric="minisblack", planarconfig="contig"
    )
    done = sr("upscale", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "-c", checkpoint, "--precision", "int8")
    assert done.code == 0 and "is of 5 bands" in done.err and (tmp_path / "out.tif").is_file(), done.err


@pytest.mark.slow
def test_onnx_has_in_int8_what_is_and_nothing_else(tmp_path):
    """ESC's `proj` is also the last part of the names of other convolutions."""
    onnx = pytest.importorskip("onnx")
    torch.manual_seed(0)
    build = GENERATORS["esc"]
    config = {"scale": 2, **GENERATORS.small["esc"]}
    network = build(**config).eval().requires_grad_(False)
    layer = QuantizedConvolution(0.0, 1.0, steps_of(network.proj.weight))
    network = with_quantised_weights(network, {"proj": Calibrated(layer, None)})
    quantised = QuantizedNetwork(network, {"proj": layer}, {"source": "here"}, {"name": "esc", **config})
    write(tmp_path / "int8.safetensors", quantised)
    export(tmp_path / "int8.safetensors", tmp_path / "int8.onnx")
    initializers = onnx.load(tmp_path / "int8.onnx").graph.initializer
    integers = [i.name for i in initializers if i.data_type == onnx.TensorProto.INT8 and len(i.dims) == 4]
    assert integers == ["proj.weight_int8"]


def test_onnx_runtime_runs_it_as_onnx(sr, int8_file, tmp_path):
    onnx = pytest.importorskip("onnx")
    file, _ = int8_file
    done = sr("export", file, "-o", tmp_path / "int8.onnx", "--card")
    assert done.code == 0 and "in ONNX Runtime" in done.out, done.err
    model = onnx.load(tmp_path / "int8.onnx")
    kinds = [node.op_type for node in model.graph.node]
    layers = read(file).layers
    assert kinds.count("Conv") == len(layers) and kinds.count("DequantizeLinear") >= 2 * len(layers) - 1
    integers = [i for i in model.graph.initializer if i.data_type == onnx.TensorProto.INT8 and len(i.dims) == 4]
    assert len(integers) == len(layers)
    for arguments, said in ((["x.pth"], "only ONNX can hold int8"), (["x.onnx", "--precision", "fp16"], "is in int8")):
        done = sr("export", file, "-o", tmp_path / arguments[0], *arguments[1:])
        assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1


@pytest.mark.slow
def test_a_checkpoint_is_exported_in_int8(sr, weights, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    file = tmp_path / "int8.onnx"
    done = sr("export", weights(), "-o", file, "--precision", "int8", "--card", "--output-name", "large")
    assert done.code == 0 and "onnx, int8" in done.out and "int8 of msrresnet_x2_0.pth" in done.out, done.err
    model = onnx.load(file)
    assert "QuantizeLinear" in [node.op_type for node in model.graph.node] and model.graph.output[0].name == "large"
    assert "int8" in file.with_suffix(".md").read_text()
    monkeypatch.setattr(cache, "BOUNDS", Bounds(max_drop=0.05, fidelity=99))
    refused = sr("export", weights(), "-o", tmp_path / "other.onnx", "--precision", "int8")
    assert refused.code == 2 and "int8 can't be had" in refused.err and not (tmp_path / "other.onnx").exists()


def test_mistakes_are_one_line(sr, weights, int8_file, tmp_path):
    file, _ = int8_file
    small = folder_of(tmp_path / "small", [photograph(20, 20)] * 3)
    Image.fromarray(photograph(20, 20)).save(tmp_path / "in.png")
    to = ("-o", tmp_path / "out.png")
    other = dict(load_file(file))
    save_file(other, tmp_path / "newer.safetensors", {INT8: json.dumps({"format": 2})})
    save_file(other, tmp_path / "lying.safetensors", {INT8: "[]"})
    for arguments, said in (
        (("quantize", weights(), "-o", tmp_path / "x.onnx"), "name it x.safetensors"),
        (("quantize", weights(), "-o", file), "exists: give --overwrite"),
        (("quantize", weights(), "-o", tmp_path / "a.safetensors", "--data", small), "0 images of at least 48x48"),
        (("quantize", weights(), "-o", tmp_path / "a.safetensors", "--data", tmp_path / "no"), "is no folder"),
        (("quantize", file, "-o", tmp_path / "a.safetensors"), "is a network in int8"),
        (("upscale", tmp_path / "in.png", *to, "-c", file, "--precision", "fp32"), "is in int8: leave --precision out"),
        (("upscale", tmp_path / "in.png", *to, "-c", file, "--runtime", "torch"), "done by OpenVINO on a CPU"),
        (("upscale", tmp_path / "in.png", *to, "-c", tmp_path / "newer.safetensors"), "int8 format 2, this version"),
        (("upscale", tmp_path / "in.png", *to, "-c", tmp_path / "lying.safetensors"), "record can't be read"),
    ):
        done = sr(*arguments)
        assert done.code == 2 and said in done.err, done.err
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "a.safetensors").exists() and not (tmp_path / "out.png").exists()


def test_without_nncf_a_line_says_what_to_install(sr, weights, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    done = sr("quantize", weights(), "-o", tmp_path / "int8.safetensors", *FEW)
    assert done.code == 2 and install_extra("int8") in done.err.splitlines()[-1]


@pytest.mark.slow
def test_a_crash_of_the_converter_is_one_line_and_bf16_does_it(sr, weights, tmp_path, monkeypatch):
    """Native code that ends its process, as NNCF and OpenVINO's converter do at some networks."""
    (tmp_path / "modules/nncf").mkdir(parents=True)
    (tmp_path / "modules/nncf/__init__.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))  # only processes to come read it
    target = tmp_path / "int8.safetensors"
    done = sr("quantize", weights(), "-o", target, *FEW)
    assert done.code == 2 and not target.exists() and "Traceback" not in done.err
    assert "can't be quantised: NNCF can't do this network: it ended with SIGABRT" in done.err.splitlines()[-1]
    Image.fromarray(photograph(20, 20)).save(tmp_path / "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", weights(), "--precision", "int8")
    assert done.code == 0 and "ended with SIGABRT" in done.err, done.err
    assert not list((tmp_path / "cache/int8").glob("*.json")), "another time it may work"


def test_without_nncf_upscaling_in_int8_is_refused_in_one_line(sr, weights, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    Image.fromarray(photograph(20, 20)).save(tmp_path / "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", weights(), "--precision", "int8")
    assert done.code == 2 and install_extra("int8") in done.err.splitlines()[-1]
    assert not (tmp_path / "out.png").exists() and not list((tmp_path / "cache/int8").glob("*.json"))


def test_a_cpu_without_instructions_for_int8_is_said(sr, int8_file, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "computes_in_int8", lambda: False)
    Image.fromarray(photograph(20, 20)).save(tmp_path / "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", int8_file[0])
    assert done.code == 0 and done.err.count("has no instructions for int8 (VNNI)") == 1


@pytest.mark.slow
def test_what_other_versions_have_made_is_made_again(weights, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "sr_experiments")
    generator, found = load_generator(weights())
    monkeypatch.setattr(cache, "IMAGES", 8)
    for version in ("2025.0", "2026.0"):
        monkeypatch.setattr(cache, "installed_versions", lambda packages, version=version: {"openvino": version})
        cache.made_once(copy.deepcopy(generator), found, None)
    assert caplog.text.count("making this network's int8 form") == 2
    assert len(list((tmp_path / "cache/int8").glob("*.safetensors"))) == 2


def test_one_picture_is_too_few(sr, weights, tmp_path):
    one = folder_of(tmp_path / "one", [photograph(100, 100)])
    done = sr("quantize", weights(), "-o", tmp_path / "int8.safetensors", "--data", one, *FEW)
    assert done.code == 2 and "has 1 images of at least 48x48: calibration needs 2 or more" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_training_does_not_begin_with_integers(train, int8_file, capsys):
    file, _ = int8_file
    with pytest.raises(SystemExit):
        train(f"init_from={file}", "scale=2")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "is a network in int8" in line and "give the checkpoint that it was made from" in line


def saved(folder, name, scale):
    """Save a tiny network as `sr export` does; give the file."""
    torch.manual_seed(0)
    generator = GENERATORS[name](scale=scale, **GENERATORS.small[name])
    config = {"name": name, "scale": scale, "channels": 3, **GENERATORS.small[name]}
    file = folder / f"{name}.safetensors"
    write_network(generator, Checkpoint(generator.state_dict(), config, name), file, "safetensors")
    return file


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow", "flow_distilled"])
def test_a_network_that_samples_is_kept_in_higher_precision(sr, tmp_path, name):
    Image.fromarray(photograph(30, 33)).save(tmp_path / "in.png")
    file, target = saved(tmp_path, name, 2), tmp_path / "int8.safetensors"
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", file, "--precision", "int8")
    assert done.code == 0 and (tmp_path / "out.png").is_file(), done.err
    assert "draws its pictures from noise" in done.err and "is kept" in done.err and "making" not in done.err
    refused = sr("quantize", file, "-o", target, *FEW)
    assert refused.code == 2 and not target.exists()
    assert [line for line in refused.err.splitlines() if line.startswith("error:")] == [
        f"error: {name}.safetensors ({name}) draws its pictures from noise, int8 is for networks that don't"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), [("unet", 1), ("esc", 2)])
def test_networks_of_all_kinds_are_upscaled_in_int8_or_what_is_kept_is_said(sr, tmp_path, monkeypatch, name, scale):
    monkeypatch.setattr(cache, "IMAGES", 8)
    Image.fromarray(photograph(30, 33)).save(tmp_path / "in.png")
    file = saved(tmp_path, name, scale)
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", file, "--precision", "int8")
    assert done.code == 0, done.err
    assert ("(cpu, int8)" in done.out) != ("is kept" in done.err) and "torch does" not in done.err, done.err
    assert Image.open(tmp_path / "out.png").size == (33 * scale, 30 * scale)
