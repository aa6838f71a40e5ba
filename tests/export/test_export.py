"""`sr export`: every format gives the network's own pictures again, in its own runtime; otherwise there is no file."""

import hashlib
import json
import os
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import read
from sr_experiments.export import export as story
from sr_experiments.export import programs
from sr_experiments.export.export import export
from sr_experiments.export.programs import OnnxOptions
from sr_experiments.export.runnable import Runnable, largest_difference
from sr_experiments.files.writing import replacing
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.padding import crop, pad_to_multiple
from sr_experiments.generators.spandrel_arch import SpandrelGenerator
from sr_experiments.packages.extras import install_extra
from tests.conftest import others_slow

NETWORKS = [
    ("srresnet", 2),
    ("msrresnet", 3),
    ("msrresnet", 4),
    ("rrdbnet", 1),
    ("rrdbnet", 2),
    ("rrdbnet", 4),
    ("compact", 2),
    ("esc", 2),
    ("unet", 1),
    ("unet", 3),
    ("frvsr", 4),
    ("basicvsr_uni", 3),
]


def output(path, seed=0, size=(1, 3, 18, 26)):
    """What the network of a file of weights makes of a random image."""
    generator, _ = load_generator(path)
    lr = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return generator.step(lr, None)[0] if hasattr(generator, "step") else generator(lr)


@pytest.mark.parametrize("extension", [".safetensors", ".pth"])
@pytest.mark.parametrize("name, scale", NETWORKS)
def test_weights_are_read_back_as_the_same_network(sr, weights, tmp_path, name, scale, extension):
    source, file = weights(name, scale), tmp_path / f"out{extension}"
    done = sr("export", source, "-o", file)
    assert done.code == 0, done.err
    assert torch.equal(output(file), output(source))
    assert read(file).generator == read(source).generator
    assert "largest difference to the original, values in [0, 1]: 0 in sr_experiments" in done.out
    assert "on batches of 1x24x32, 1x17x23, 1x40x21, 2x16x24" in done.out
    assert [path.name for path in tmp_path.iterdir()].count(file.name) == 1
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "name, scale", [n for n in NETWORKS if n[0] not in ("esc", "frvsr", "basicvsr_uni") and n != ("unet", 3)]
)
def test_exports_load_in_spandrel_with_equal_output(weights, tmp_path, name, scale):
    """In a fresh loader, after nothing but importing the plug-in; twice, since importing again must do no harm."""
    spandrel = pytest.importorskip("spandrel")
    import importlib

    import sr_experiments.export.spandrel_plugin as plugin

    importlib.reload(plugin)
    checkpoint = weights(name, scale, growth=32) if name == "rrdbnet" else weights(name, scale)
    exported = export(checkpoint, tmp_path / "out.safetensors")
    folds = name == "rrdbnet" and scale < 4
    assert exported.differences["spandrel (multiples of 4)" if folds else "spandrel"] == 0
    descriptor = spandrel.ModelLoader("cpu").load_from_file(tmp_path / "out.safetensors").eval()
    assert descriptor.scale == scale and descriptor.input_channels == 3
    lr = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.equal(descriptor.model(lr), load_generator(checkpoint)[0](lr))


def test_pth_holds_raw_and_averaged_weights_where_a_run_has_both(train, tmp_path):
    run = train()
    export(run, tmp_path / "out.pth")
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert set(content["params"]) == set(content["params_ema"]) == set(load_generator(run)[0].state_dict())
    for name in content["params"]:
        assert torch.equal(content["params"][name], saved[f"generator.{name}"])
        assert torch.equal(content["params_ema"][name], saved[f"ema.{name}"])


@pytest.mark.parametrize(
    "name, scale",
    others_slow([("msrresnet", 4)], [("msrresnet", 4), ("esc", 3), ("rrdbnet", 2), ("unet", 1)]),
)
def test_onnx_runs_on_any_size_and_batch(sr, weights, tmp_path, name, scale):
    onnxruntime = pytest.importorskip("onnxruntime")
    file = tmp_path / "out.onnx"
    done = sr("export", weights(name, scale), "-o", file)
    assert done.code == 0, done.err
    assert "in ONNX Runtime" in done.out
    session = onnxruntime.InferenceSession(str(file))
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["sr_experiments"])["generator"]["name"] == name
    assert json.loads(metadata["compared"])["largest_difference"]["ONNX Runtime"] < 1e-4
    network = Runnable(load_generator(weights(name, scale))[0])
    assert largest_difference(network, programs.run_onnx(file), [(1, 19, 31), (3, 16, 8), (1, 5, 7), (2, 1, 1)]) < 1e-5
    sides = [f"{scale}*height", f"{scale}*width"] if scale > 1 else ["height", "width"]
    assert [str(side) for side in session.get_outputs()[0].shape[2:]] == sides


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["centred", "corner"])
def test_frvsr_goes_on_from_frame_to_frame_in_onnx_runtime(weights, tmp_path, phase):
    onnxruntime = pytest.importorskip("onnxruntime")
    checkpoint = weights("frvsr", 4)
    if phase == "corner":
        state = torch.load(checkpoint, weights_only=True)["params"]
        torch.save({"params": {**state, "upsample_func.kernels": torch.zeros(1)}}, checkpoint)
    generator, _ = load_generator(checkpoint)
    assert generator.phase == phase
    export(checkpoint, tmp_path / "out.onnx")
    network = Runnable(generator)
    assert largest_difference(network, programs.run_onnx(tmp_path / "out.onnx"), [(2, 5, 7)]) < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))
    clip = torch.rand(1, 5, 3, 21, 30)
    before, sr_before = np.zeros((1, 3, 21, 30), np.float32), np.zeros((1, 3, 84, 120), np.float32)
    with torch.no_grad():
        expected = generator(clip).sr
    for t in range(5):
        lr = clip[:, t].numpy()
        [sr_before] = session.run(None, {"lr": lr, "lr_previous": before, "sr_previous": sr_before})
        before = lr
        np.testing.assert_allclose(sr_before, expected[:, t].numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("memory", "flow"),
    [
        ("unwarped", "net"),
        pytest.param("warped", "lucas_kanade", marks=pytest.mark.slow),
        *(pytest.param(memory, "net", marks=pytest.mark.slow) for memory in ("warped", "none")),
    ],
)
def test_basicvsr_goes_on_from_features_to_features_in_onnx_runtime(sr, tmp_path, memory, flow):
    onnxruntime = pytest.importorskip("onnxruntime")
    config = {"name": "basicvsr_uni", "scale": 2, "features": 8, "blocks": 1, "memory": memory, "flow": flow}
    torch.manual_seed(0)
    generator = GENERATORS["basicvsr_uni"](scale=2, features=8, blocks=1, memory=memory, flow=flow).eval()
    record = {"format": 1, "generator": config}
    torch.save({"params": generator.state_dict(), "sr_experiments": record}, tmp_path / "in.pth")
    done = sr("export", tmp_path / "in.pth", "-o", tmp_path / "out.onnx")
    assert done.code == 0, done.err
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))
    inputs = {"warped": ["lr", "lr_previous", "features_previous"], "unwarped": ["lr", "features_previous"]}
    assert [entry.name for entry in session.get_inputs()] == inputs.get(memory, ["lr"])
    assert [entry.name for entry in session.get_outputs()] == ["sr", "features"][: 1 if memory == "none" else 2]
    clip = torch.rand(1, 5, 3, 21, 30)
    previous = {"lr_previous": np.zeros((1, 3, 21, 30), np.float32), "features_previous": np.zeros((1, 8, 21, 30), "f")}
    with torch.no_grad():
        expected = generator(clip).sr
    for t in range(5):
        given = {"lr": clip[:, t].numpy(), **previous}
        sr_frame, *features = session.run(None, {name: given[name] for name in inputs.get(memory, ["lr"])})
        previous = {"lr_previous": given["lr"], "features_previous": features[0] if features else None}
        np.testing.assert_allclose(sr_frame, expected[:, t].numpy(), atol=1e-4)


@pytest.mark.parametrize("extension", [".pt2", ".ts"])
@pytest.mark.parametrize(
    "name, scale",
    others_slow(
        [("msrresnet", 2)],
        [("msrresnet", 2), ("frvsr", 4), ("rrdbnet", 2), ("unet", 2), ("esc", 2), ("basicvsr_uni", 2)],
    ),
)
def test_programs_of_torch_run_on_any_size_and_batch(sr, weights, tmp_path, name, scale, extension):
    file = tmp_path / f"out{extension}"
    done = sr("export", weights(name, scale), "-o", file)
    assert done.code == 0, done.err
    run = programs.run_exported_program(file) if extension == ".pt2" else programs.run_torchscript(file)
    network = Runnable(load_generator(weights(name, scale))[0])
    assert largest_difference(network, run, [(3, 33, 41), (1, 9, 48)]) < 1e-5
    facts = {"sr_experiments.json": ""}
    if extension == ".pt2":
        torch.export.load(file, extra_files=facts)
    else:
        torch.jit.load(str(file), _extra_files=facts)
    assert json.loads(facts["sr_experiments.json"])["sr_experiments"]["generator"]["name"] == name


@pytest.mark.parametrize("extension", [".safetensors", ".pth"])
def test_weights_in_fp16_are_near(sr, weights, tmp_path, extension):
    file, full = tmp_path / f"out{extension}", tmp_path / f"full{extension}"
    done = sr("export", weights("msrresnet", 4), "-o", file, "--precision", "fp16")
    assert done.code == 0 and "fp16" in done.out, done.err
    export(weights("msrresnet", 4), full)
    assert file.stat().st_size < 0.8 * full.stat().st_size
    assert (output(file).float() - output(full)).abs().max() < 2e-2


def values_of(onnx, model):
    """The element type of every value of a model, weights too, by name."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return types | {weight.name: weight.data_type for weight in graph.initializer}


@pytest.mark.parametrize("fp16_images", others_slow([False], [False, True]))
@pytest.mark.parametrize("name, scale", [("msrresnet", 4), pytest.param("unet", 1, marks=pytest.mark.slow)])
def test_onnx_in_fp16_computes_in_fp16(sr, weights, tmp_path, name, scale, fp16_images):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    file = tmp_path / "out.onnx"
    more = ["--fp16-images"] if fp16_images else []
    done = sr("export", weights(name, scale), "-o", file, "--precision", "fp16", *more)
    assert done.code == 0 and "in ONNX Runtime as on a GPU" in done.out, done.err
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    types = values_of(onnx, model)
    for node in model.graph.node:
        if node.op_type in ("Conv", "Add", "Mul", "Relu", "LeakyRelu", "PRelu", "Concat", "DepthToSpace"):
            assert types[node.output[0]] in (onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64), node.name
    session = onnxruntime.InferenceSession(str(file))
    kind = "tensor(float16)" if fp16_images else "tensor(float)"
    assert [value.type for value in (*session.get_inputs(), *session.get_outputs())] == [kind, kind]
    network = Runnable(load_generator(weights(name, scale))[0])
    for run in (programs.run_onnx(file), programs.run_onnx_as_on_gpu(file)):
        assert 1e-6 < largest_difference(network, run, [(1, 19, 31), (2, 5, 7)]) < 5e-3


def test_what_overflows_in_fp16_is_not_written(sr, weights, tmp_path):
    """On a CPU, ONNX Runtime computes fp16 in fp32: only the imitation of a GPU shows it."""
    checkpoint = torch.load(weights("msrresnet", 2), weights_only=True)
    state = checkpoint["params"]
    state["body.0.conv2.weight"] *= 0
    for name, factor in (("conv_first", 2000), ("upconv1", 2000), ("conv_hr", 1 / 2000), ("conv_last", 1 / 2000)):
        state[f"{name}.weight"] *= factor  # values above 65504 between upconv1 and conv_hr
    for name in ("conv_first", "upconv1", "conv_hr"):
        state[f"{name}.bias"] *= 0
    torch.save(checkpoint, tmp_path / "large.pth")
    done = sr("export", tmp_path / "large.pth", "-o", tmp_path / "out.onnx", "--precision", "fp16")
    assert done.code == 2 and len(done.err.splitlines()) == 1 and not (tmp_path / "out.onnx").exists()
    assert "not written" in done.err and "as on a GPU" in done.err


@pytest.mark.slow
def test_positions_stay_in_fp32(weights, tmp_path):
    """In fp16 the columns of a frame of 4096 pixels couldn't be told apart; rounding on the way would do as much."""
    onnx = pytest.importorskip("onnx")
    file = tmp_path / "out.onnx"
    export(weights("frvsr", 4), file, precision="fp16", onnx=OnnxOptions(inputs=("now", "before", "sr_before")))
    model = onnx.load(file)
    assert [value.name for value in model.graph.input] == ["now", "before", "sr_before"]
    makers = {output: node for node in model.graph.node for output in node.output}
    types, (sampler,) = values_of(onnx, model), [n for n in model.graph.node if n.op_type == "GridSample"]
    ranges, chain = 0, [sampler.input[1]]
    while chain:
        node = makers.get(chain.pop())
        if node is None or node.op_type == "Conv":
            continue
        assert types[node.output[0]] != onnx.TensorProto.FLOAT16, node.name
        ranges += node.op_type == "Range"
        chain += node.input
    assert ranges >= 2


def test_onnx_has_the_opset_and_the_names_that_were_asked_for(sr, weights, tmp_path):
    onnx = pytest.importorskip("onnx")
    file = tmp_path / "out.onnx"
    names = ("--input-name", "image", "--output-name", "large")
    done = sr("export", weights("msrresnet", 2), "-o", file, "--opset", 21, *names)
    assert done.code == 0, done.err
    model = onnx.load(file)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [21]
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["image", "large"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        pytest.param(["--opset", 11], "--opset 11 can't be had for this network", marks=pytest.mark.slow),
        (["--opset", 99], "--opset 99 can't be had for this network"),
        (["--input-name", "sr"], "inputs and output can't be called 'sr', 'sr'"),
        (["--input-name", "a", "--input-name", "b"], "--input-name given 2 times: this network's inputs are lr"),
        (["--output-name", ""], "can't be called 'lr', ''"),
        (["--input-name", "conv2d"], "conv2d is also a value inside the network"),
        pytest.param(
            ["--output-name", "generator.conv_first.weight"],
            "is also a value inside the network",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mistakes_in_options_of_onnx_are_one_line(sr, weights, tmp_path, arguments, said):
    pytest.importorskip("onnxruntime")
    done = sr("export", weights("msrresnet", 2), "-o", tmp_path / "out.onnx", *arguments)
    assert done.code == 2 and len(done.err.splitlines()) == 1 and said in done.err, done.err
    assert not (tmp_path / "out.onnx").exists()


def test_a_network_with_a_lookahead_is_exported_as_weights_only(sr, weights, tmp_path):
    net = weights("basicvsr_uni", 2, lookahead=1)
    for name in ("out.onnx", "out.ts"):
        done = sr("export", net, "-o", tmp_path / name)
        assert done.code == 2 and "it waits for later frames (lookahead=1); export its weights" in done.err
        assert not (tmp_path / name).exists()
    done = sr("export", net, "-o", tmp_path / "out.safetensors")
    assert done.code == 0, done.err
    assert load_generator(tmp_path / "out.safetensors")[0].lookahead == 1


def test_a_video_network_has_three_inputs_to_name(sr, weights, tmp_path):
    pytest.importorskip("onnxruntime")
    done = sr("export", weights("frvsr", 4), "-o", tmp_path / "out.onnx", "--input-name", "frame")
    assert done.code == 2 and "this network's inputs are lr, lr_previous, sr_previous, give it 3 times" in done.err


def test_networks_that_spandrel_knows_keep_their_names(tmp_path):
    spandrel = pytest.importorskip("spandrel")
    options = {"feature_channels": 8}
    torch.manual_seed(0)
    generator = SpandrelGenerator(scale=2, arch="SPAN", options=options)
    config = {"name": "spandrel", "scale": 2, "arch": "SPAN", "channels": 3, "options": options}
    state = {f"generator.{name}": tensor for name, tensor in generator.state_dict().items()}
    record = {"format": 1, "generator": config, "step": 1}
    torch.save({"sr_experiments": record, "state_dict": state}, tmp_path / "run.ckpt")
    export(tmp_path / "run.ckpt", tmp_path / "out.safetensors")
    assert spandrel.ModelLoader("cpu").load_from_file(tmp_path / "out.safetensors").architecture.id == "SPAN"
    assert torch.equal(output(tmp_path / "out.safetensors"), output(tmp_path / "run.ckpt"))


def test_a_foreign_file_that_only_spandrel_reads_is_exported(tmp_path):
    """SPAN merges its convolutions at every call, which exporters can't follow and once crashed on."""
    spandrel = pytest.importorskip("spandrel")
    torch.manual_seed(0)
    network = SpandrelGenerator(scale=2, arch="SPAN", options={"feature_channels": 8}).net
    torch.save({"params": network.state_dict()}, tmp_path / "span.pth")
    done = export(tmp_path / "span.pth", tmp_path / "out.safetensors")
    assert done.differences == {"sr_experiments": 0, "spandrel": 0}
    assert spandrel.ModelLoader("cpu").load_from_file(tmp_path / "out.safetensors").architecture.id == "SPAN"
    assert export(tmp_path / "span.pth", tmp_path / "out.pt2").differences["torch.export"] < 1e-5


def test_what_an_exporter_cannot_do_is_one_line(sr, tmp_path):
    """SAFMN makes windows of a fixed number of pixels out of sizes that are free, DAT masks."""
    pytest.importorskip("spandrel")
    torch.manual_seed(0)
    options = {
        "SAFMN": {"dim": 8, "n_blocks": 1},
        "DAT": {"depth": [2], "num_heads": [2], "embed_dim": 16, "expansion_factor": 2.0},
    }
    for arch, extension, said in (
        ("SAFMN", ".ts", "out.ts not written: in TorchScript"),
        ("SAFMN", ".pt2", "as exported_program: its layers depend on the size of the image"),
        ("DAT", ".onnx", "as onnx: its layers depend on the size of the image"),
    ):
        network = SpandrelGenerator(scale=2, arch=arch, options=options[arch]).net
        torch.save({"params": network.state_dict()}, tmp_path / f"{arch}.pth")
        done = sr("export", tmp_path / f"{arch}.pth", "-o", tmp_path / f"out{extension}")
        assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1
        assert "export its weights, -o name.safetensors" in done.err
        assert not (tmp_path / f"out{extension}").exists()


def test_a_record_may_leave_out_defaults_and_knows_more_than_the_weights(weights, tmp_path):
    from safetensors.torch import save_file

    state = torch.load(weights("frvsr", 4), weights_only=True)["params"]
    srnet = {"name": "resnet", "features": 8, "blocks": 1}
    record = {"format": 1, "generator": {"name": "frvsr", "phase": "corner", "srnet": srnet}}
    save_file(state, tmp_path / "x.safetensors", {"sr_experiments": json.dumps(record)})
    assert load_generator(tmp_path / "x.safetensors")[0].phase == "corner"
    own = GENERATORS["frvsr"](scale=4, srnet={"name": "resnet"})  # 10 blocks of 64, which it doesn't say
    record = {"format": 1, "generator": {"name": "frvsr", "srnet": {"name": "resnet"}}}
    save_file(own.state_dict(), tmp_path / "x.safetensors", {"sr_experiments": json.dumps(record)})
    assert len(load_generator(tmp_path / "x.safetensors")[0].srnet.resblocks) == 10


@pytest.mark.parametrize("extension", [".pth", ".onnx", ".pt2", ".ts"])
def test_a_file_tells_nothing_of_the_machine(weights, tmp_path, extension):
    file = tmp_path / f"out{extension}"
    export(weights("msrresnet", 2), file)
    parts = [file.read_bytes()]
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            parts = [archive.read(entry) for entry in archive.namelist()]
    import sr_experiments

    for place in (sr_experiments.__path__[0], torch.__path__[0], str(tmp_path)):
        assert not any(place.encode() in part for part in parts)


@pytest.mark.parametrize("size", [(24, 32), (17, 23), (1, 1), (9, 8)])
@pytest.mark.parametrize("block", [2, 4, 8])
def test_padding_in_exports_is_that_of_training_to_the_bit(monkeypatch, size, block):
    image = torch.rand(2, 3, *size)
    padded = pad_to_multiple(image, block)
    assert padded.shape[2] % block == padded.shape[3] % block == 0
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(pad_to_multiple(image, block), padded)
    assert torch.equal(crop(padded, *size), image)


@pytest.mark.parametrize("srnet", ["resnet", "msrresnet", "srresnet"])
def test_zeros_as_previous_frame_are_the_first_frame_to_the_bit(weights, srnet):
    network = Runnable(load_generator(weights("frvsr", 4))[0])
    generator = GENERATORS["frvsr"](scale=4, srnet={"name": srnet, "features": 8, "blocks": 1})
    lr = torch.rand(2, 3, 17, 21)
    with torch.no_grad():
        for one in (network, Runnable(generator)):
            first = one.generator.step(lr, None)[0]
            assert torch.equal(one(lr, torch.zeros_like(lr), torch.zeros(2, 3, 68, 84)), first)


@pytest.mark.parametrize("extension", [".safetensors", ".onnx"])
def test_an_export_that_differs_leaves_no_file(sr, weights, tmp_path, monkeypatch, extension):
    wrong = Runnable(GENERATORS["msrresnet"](scale=2, features=8, blocks=1))
    where = story.weights if extension == ".safetensors" else programs
    runner = "run_weights" if extension == ".safetensors" else "run_onnx"
    monkeypatch.setattr(where, runner, lambda path: lambda lr: wrong(lr) + 1)
    folder = tmp_path / "exports"
    done = sr("export", weights("msrresnet", 2), "-o", folder / f"out{extension}")
    assert done.code == 2
    assert "not written: in" in done.err and "more than 0.0001" in done.err
    assert list(folder.iterdir()) == []


def test_a_result_of_another_shape_or_not_a_number_counts_as_different(weights):
    network = Runnable(load_generator(weights("msrresnet", 2))[0])
    assert largest_difference(network, lambda lr: network(lr)[..., 1:]) == float("inf")
    assert largest_difference(network, lambda lr: network(lr) * torch.nan) == float("inf")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["-o", "out.jpg"], "out.jpg: choose an extension of .safetensors .pth"),
        (["-o", "there.pth"], "there.pth exists: give --overwrite"),
        (["-o", "out.pt2", "--precision", "fp16"], "--precision fp16 is for weights, ONNX and ncnn"),
        (["-o", "out.pth", "--precision", "int8"], "only ONNX can hold int8: name it out.onnx"),
        (["-o", "out.pth", "--opset", "18"], "are for ONNX: leave them out, or name it out.onnx"),
        (["-o", "out.onnx", "--fp16-images"], "--fp16-images is for --precision fp16"),
        (["-o", "carded.pth", "--card"], "carded.md exists: give --overwrite"),
        (["-o", "out.pth", "--format", "onnx"], "name it out.onnx"),
        (["-o", "out.bin", "--format", "safetensors"], "name it out.safetensors"),
        (["-o", "folder.pth"], "folder.pth is a folder"),
        (["-o", "there.pth/out.pth"], "there.pth is not a folder"),
    ],
)
def test_mistakes_are_one_line(sr, weights, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.pth").write_text("")
    (tmp_path / "carded.md").write_text("")
    (tmp_path / "folder.pth").mkdir()
    done = sr("export", weights(), *arguments)
    assert done.code == 2
    [line] = done.err.splitlines()
    assert said in line
    assert not (tmp_path / "out.pt2").exists()


def test_missing_packages_are_named(sr, weights, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    done = sr("export", weights(), "-o", tmp_path / "out.onnx")
    assert done.code == 2 and install_extra("onnx") in done.err


@pytest.mark.parametrize(
    "record",
    [
        "{not json",
        "[]",
        '{"format": 1, "generator": {"name": 3}}',
        '{"format": 9}',
        '{"format": 1, "generator": {"name": "msrresnet", "scale": 2, "features": 1000000}}',
        '{"format": 1, "generator": {"name": "msrresnet", "scale": 2, "blocks": "many"}}',
        '{"format": 1, "generator": {"name": "frvsr", "srnet": 3}}',
        '{"format": 1, "generator": {"name": "spandrel", "arch": 5}}',
    ],
)
def test_damaged_records_are_refused_in_one_line(sr, weights, tmp_path, record):
    from safetensors.torch import save_file

    state = torch.load(weights(), weights_only=True)["params"]
    save_file(state, tmp_path / "x.safetensors", {"sr_experiments": record})
    done = sr("export", tmp_path / "x.safetensors", "-o", tmp_path / "out.pth")
    assert done.code == 2 and len(done.err.splitlines()) == 1 and "x.safetensors" in done.err


def test_compiled_exports_are_no_checkpoints(sr, weights, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"\x08\x09")
    done = sr("export", tmp_path / "x.onnx", "-o", tmp_path / "out.pth")
    assert done.code == 2 and "is a compiled network: give the run folder" in done.err


def test_card_of_a_run_says_what_it_is_and_how_good(sr, train, tmp_path):
    run = train()
    file = tmp_path / "net.safetensors"
    words = ["--name", "Net", "--author", "Somebody Else", "--license", "MIT", "--description", "Doubles."]
    done = sr("export", run, "-o", file, "--card", *words)
    assert done.code == 0, done.err
    facts = json.loads((tmp_path / "net.json").read_text())
    [resource] = facts["resources"]
    assert resource["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert resource["size"] == file.stat().st_size and resource["platform"] == "pytorch"
    assert (facts["name"], facts["author"], facts["license"]) == ("Net", "somebody-else", "MIT")
    assert facts["architecture"] == "sr-res-net" and facts["size"] == ["8nf", "1nb"] and facts["scale"] == 4
    text = (tmp_path / "net.md").read_text()
    summary = json.loads((run / "summary.json").read_text())
    assert f"| sample | psnr_y | {summary['best']['metrics']['val/sample/psnr_y_bicubic']:.4f} |" in text
    assert "PSNR in dB, Y (BT.601, 16-235), crop 4" in text and "not measured: metric lpips_alex" in text
    assert resource["sha256"] in text and "max_steps" not in facts
    assert str(tmp_path) not in text and str(tmp_path) not in (tmp_path / "net.json").read_text()
    with Image.open(tmp_path / "net.png") as picture:
        assert picture.size[0] > 2 * 96


def test_card_of_a_checkpoint_that_is_not_the_best_has_its_own_values(sr, train, tmp_path):
    run = train("optim.learning_rate=0.1")
    summary = json.loads((run / "summary.json").read_text())
    key = "val/sample/psnr_y"
    best, last = summary["best"]["metrics"][key], summary["final"][key]
    assert (summary["best"]["step"], summary["step"]) == (2, 4) and best - last > 1
    asked = ["export", run / "checkpoints" / "last.ckpt", "-o", tmp_path / "net.pth", "--card", "--overwrite"]
    done = sr(*asked)
    assert done.code == 0, done.err
    facts, text = json.loads((tmp_path / "net.json").read_text()), (tmp_path / "net.md").read_text()
    assert facts["trainingIterations"] == 4 and facts["metrics"][key] == pytest.approx(last)
    assert "## Measured at step 4" in text and f" {last:.4f} |" in text and f" {best:.4f} |" not in text
    (run / "metrics.csv").unlink()
    assert sr(*asked).code == 0
    assert "metrics" not in json.loads((tmp_path / "net.json").read_text())
    assert "Measured" not in (tmp_path / "net.md").read_text()


@pytest.mark.parametrize(
    "extension",
    [".safetensors", *(pytest.param(e, marks=pytest.mark.slow) for e in (".onnx", ".pth", ".pt2", ".ts"))],
)
def test_what_a_card_tells_to_type_enlarges_a_photograph(extension, sr, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grey = extension == ".onnx"
    words = ["-o", f"a net{extension}", "--card", *(["--fp16-images", "--precision", "fp16"] if grey else [])]
    source = weights("compact", 2, channels=1) if grey else weights("msrresnet", 2)
    done = sr("export", source, *words)
    assert done.code == 0, done.err
    noise = np.random.default_rng(0).normal(128, 60, (18, 23)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noise).convert("L" if grey else "RGB").save("photo.png")
    text = Path("a net.md").read_text()
    [code] = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    exec(compile(code, "a net.md", "exec"), {})
    with Image.open("photo_large.png") as made:
        assert made.size == (46, 36) and made.mode == ("L" if grey else "RGB")
        pixels = np.asarray(made).astype(int)
    command = re.findall(r"```sh\nsr (.*?)\n```", text)
    if command:
        assert sr(*shlex.split(command[0].replace("photo_large", "by_command"))).code == 0
        assert np.abs(np.asarray(Image.open("by_command.png")).astype(int) - pixels).max() <= 1
    else:
        assert extension not in (".safetensors", ".pth")


def test_a_card_names_the_data_without_its_place_on_the_machine(sr, weights, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    weights("msrresnet", 2).rename(run / "checkpoints" / "best.ckpt")
    data = "data: {crop: 96, batch_size: 8, train: {name: images, root: /home/me/secret/DIV2K}}"
    (run / "config.yaml").write_text(f"{data}\ninit_from: ~/models/psnr.pth\nlogger: {{api_key: abc123}}\n")
    done = sr("export", run, "-o", tmp_path / "net.pth", "--card")
    assert done.code == 0, done.err
    facts, text = json.loads((tmp_path / "net.json").read_text()), (tmp_path / "net.md").read_text()
    assert facts["dataset"] == "DIV2K" and facts["initFrom"] == "psnr.pth" and facts["trainingHRSize"] == 96
    for secret in ("secret", "models/", "abc123", str(tmp_path)):
        assert secret not in json.dumps(facts) and secret not in text


def test_card_of_a_file_of_weights_says_less(sr, weights, tmp_path):
    done = sr("export", weights("rrdbnet", 2, growth=32), "-o", tmp_path / "net.ts", "--card")
    assert done.code == 0, done.err
    facts = json.loads((tmp_path / "net.json").read_text())
    assert facts["architecture"] == "esrgan" and facts["resources"][0]["platform"] == "pytorch"
    assert "Measured" not in (tmp_path / "net.md").read_text()


def test_the_metadata_of_safetensors_says_what_was_compared(weights, tmp_path):
    export(weights("rrdbnet", 4, growth=32), tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["compared"])["largest_difference"] == {"sr_experiments": 0.0, "spandrel": 0.0}
    assert metadata["scale"] == "4" and metadata["images"].startswith("RGB")


def test_every_parameter_matters_to_the_comparison(weights):
    """A network with one weight changed is told from the original."""
    generator, _ = load_generator(weights("rrdbnet", 4))
    other, _ = load_generator(weights("rrdbnet", 4))
    with torch.no_grad():
        for parameter in (*generator.parameters(), *other.parameters()):
            if parameter.ndim > 1:
                torch.manual_seed(parameter.numel())
                nn.init.normal_(parameter, std=0.1)
        other.body[0].rdb2.conv3.weight[0, 0, 1, 1] += 1
    assert largest_difference(Runnable(generator), Runnable(other)) > 1e-4


@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_files_have_the_mode_that_umask_gives(sr, weights, tmp_path, umask):
    """safetensors writes files for their owner only."""
    source = weights("compact", 2)
    before = os.umask(umask)
    try:
        for name in ("x.safetensors", "x.pth", "x.ts"):
            done = sr("export", source, "-o", tmp_path / name, "--overwrite", *(["--card"] if name == "x.pth" else []))
            assert done.code == 0, done.err
        with replacing(tmp_path / "replaced") as temporary:
            save_file({"x": torch.zeros(1)}, temporary)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("x.*")}
    assert len(modes) == 6 and set(modes.values()) == {0o666 & ~umask}, modes
    assert (tmp_path / "replaced").stat().st_mode & 0o777 == 0o666 & ~umask


OPENMODELDB = {  # what its website checks of a model: MODEL_PROPS in its src/lib/model-props.ts
    "type": "object",
    "required": [
        "name", "author", "tags", "description", "date", "architecture", "scale", "inputChannels", "outputChannels",
        "resources", "images",
    ],
    "properties": {
        "name": {"type": "string"},
        "author": {"type": "string", "pattern": "^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$"},
        "tags": {"type": "array", "minItems": 1, "items": {"enum": ["general-upscaler", "restoration"]}},
        "license": {"type": ["string", "null"], "minLength": 1},
        "description": {"type": "string", "pattern": r"^\S(.*\S)?$"},
        "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "architecture": {"enum": ["compact", "esrgan", "sr-res-net"]},
        "size": {"type": "array", "items": {"type": "string", "minLength": 1}},
        "scale": {"type": "integer", "minimum": 1, "maximum": 16},
        "inputChannels": {"type": "integer", "minimum": 1, "maximum": 4},
        "outputChannels": {"type": "integer", "minimum": 1, "maximum": 4},
        "resources": {"type": "array", "minItems": 1, "items": {
            "type": "object",
            "required": ["type", "size", "sha256", "urls", "platform"],
            "properties": {
                "type": {"enum": ["pth", "onnx"]},
                "size": {"type": "integer", "minimum": 1},
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "urls": {"type": "array", "items": {"type": "string"}},
                "platform": {"enum": ["pytorch", "onnx", "ncnn"]},
            },
        }},
        "images": {"type": "array"},
        "dataset": {"type": "string"},
        **{key: {"type": "integer", "minimum": 1} for key in (
            "datasetSize", "trainingIterations", "trainingEpochs", "trainingBatchSize", "trainingHRSize")},
        "trainingOTF": {"type": "boolean"},
        "pretrainedModelG": {"type": "string", "pattern": r"^\d+x-[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$"},
    },
}  # fmt: skip


@pytest.mark.parametrize("extension", [".pth", ".pt", ".onnx"])
def test_the_listing_of_a_card_fits_openmodeldb(sr, train, weights, tmp_path, extension):
    """A run's, with what it was trained with, and that of a file of weights."""
    import jsonschema

    words = ["--author", "Some Body", "--description", " Doubles. "]
    sources = {"run": train(f"init_from={weights('msrresnet', 4)}") if extension == ".pth" else None,
               "file": weights("compact", 2)}  # fmt: skip
    for name, source in sources.items():
        if source is not None:
            done = sr("export", source, "-o", tmp_path / f"{name}{extension}", "--card", *words)
            assert done.code == 0, done.err
            facts = json.loads((tmp_path / f"{name}.json").read_text())
            jsonschema.validate(facts, OPENMODELDB)
            trained = {"trainingIterations", "trainingBatchSize", "trainingHRSize", "trainingOTF", "dataset"}
            assert trained <= set(facts) or name == "file"


@pytest.mark.parametrize(
    ("name", "channels", "told"),
    [("msrresnet", 3, True), ("srresnet", 3, True), ("compact", 3, False), ("msrresnet", 5, False)],
)
def test_the_export_says_what_other_programs_need_to_read_it(weights, sr, tmp_path, name, channels, told):
    done = sr("export", weights(name, channels=channels), "-o", tmp_path / "out.safetensors")
    assert done.code == 0
    assert (f"chaiNNer and ComfyUI read {name} only where" in done.out) is told
