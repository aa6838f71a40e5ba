"""`sr export` for ncnn: what Upscayl loads, equal to the network on several sizes; otherwise no files."""

import json
import sys

import pytest
import torch
import torch.nn.functional as F

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.errors import SRError
from sr_experiments.export import ncnn
from sr_experiments.export.export import export, write_network
from sr_experiments.export.runnable import Runnable, largest_difference
from sr_experiments.generators.generator import Generator
from sr_experiments.packages.extras import install_extra
from sr_experiments.processes.own_process import run_apart
from tests.conftest import others_slow

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")


@pytest.mark.parametrize(
    "name, scale",
    others_slow(
        [("msrresnet", 3), ("rrdbnet", 2)],
        [("srresnet", 2), ("msrresnet", 3), ("rrdbnet", 4), ("rrdbnet", 2), ("rrdbnet", 1), ("compact", 4)],
    ),
)
def test_networks_run_in_ncnn_on_any_size(sr, weights, tmp_path, name, scale):
    source = weights(name, scale)
    done = sr("export", source, "-o", tmp_path / f"net-{scale}x", "--card", "--name", "Net")
    assert done.code == 0, done.err
    assert "in ncnn; on batches of 1x24x32, 1x17x23, 1x40x21, 2x16x24" in done.out and "Upscayl" not in done.err
    param, network = tmp_path / f"net-{scale}x.param", Runnable(load_generator(source)[0])
    text = param.read_text().split()
    assert "data" in text and "output" in text and not list(tmp_path.glob(".*"))
    assert largest_difference(network, ncnn.run_ncnn(param), [(1, 1, 1), (1, 7, 50)]) < 1e-4
    facts = json.loads((tmp_path / f"net-{scale}x.json").read_text())
    assert [(r["platform"], r["type"]) for r in facts["resources"]] == [("ncnn", "param"), ("ncnn", "bin")]
    if name in ("rrdbnet", "compact"):  # and back
        again = load_generator(param)[0].state_dict()
        assert all(torch.equal(again[key], value) for key, value in network.generator.state_dict().items())


def test_an_rrdbnet_of_the_usual_depth_takes_little_memory(sr, weights, tmp_path):
    source = weights("rrdbnet", 4, blocks=23, features=4, growth=2)  # pnnx takes more than 20 GB for 23 blocks
    done = sr("export", source, "-o", tmp_path / "net-4x", "--precision", "fp16")
    assert done.code == 0, done.err
    again, original = (load_generator(path)[0].body[22].rdb3.conv5 for path in (tmp_path / "net-4x.param", source))
    assert torch.equal(again.weight, original.weight.half().float()) and torch.equal(again.bias, original.bias)


@pytest.mark.slow
def test_weights_in_fp16_are_half_as_large(sr, weights, tmp_path):
    for precision in ("fp32", "fp16"):
        done = sr("export", weights("compact", 2), "-o", tmp_path / f"{precision}.param", "--precision", precision)
        assert done.code == 0, done.err
        assert f"call it {precision}-2x" in done.err and len(done.err.splitlines()) == 1
    large, small = ((tmp_path / f"{precision}.bin").stat().st_size for precision in ("fp32", "fp16"))
    assert small < 0.6 * large
    again, original = load_generator(tmp_path / "fp16.param")[0], load_generator(weights("compact", 2))[0]
    assert torch.equal(again.body[0].weight, original.body[0].weight.half().float())


class CutsToTheTracedSize(Generator):
    """A network whose size pnnx takes for a constant."""

    def __init__(self):
        super().__init__(2, 3)

    def forward(self, lr):
        height, width = lr.shape[-2:]
        return F.interpolate(F.pad(lr, (2, 2, 2, 2))[..., 2 : height + 2, 2 : width + 2], scale_factor=2)


def test_a_network_that_ncnn_runs_otherwise_is_refused(tmp_path):
    with pytest.raises(SRError, match="not written: in ncnn its output differs"):
        write_network(CutsToTheTracedSize(), Checkpoint({}, None, "x"), tmp_path / "net-2x.param", "ncnn")
    assert not list(tmp_path.iterdir())


def refused(done, *words):
    lines = done.err.splitlines()
    assert done.code == 2 and len(lines) == 1, done.err
    assert all(word in lines[0] for word in words), lines[0]


def test_what_ncnn_can_not_do_is_one_line(sr, weights, tmp_path, monkeypatch):
    refused(sr("export", weights("esc", 2), "-o", tmp_path / "esc-2x"), "esc_x2_0.pth", "ncnn has no layer for")
    refused(sr("export", weights("frvsr", 4), "-o", tmp_path / "frvsr-4x"), "frame to frame")
    with pytest.raises(RuntimeError, match="pnnx can't do this network: it ended with SIGABRT"):
        run_apart([sys.executable, "-c", "import os; os.abort()"], str(tmp_path), "pnnx")
    source = weights("compact", 2)
    refused(sr("export", source, "-o", tmp_path / "net", "--precision", "int8"), "only ONNX can hold int8")
    refused(sr("export", source, "-o", tmp_path / "net.v2", "--format", "ncnn"), "net.param")
    (tmp_path / "net.bin").touch()
    refused(sr("export", source, "-o", tmp_path / "net"), "net.bin exists")
    monkeypatch.setattr(ncnn.importlib.util, "find_spec", lambda name: None)
    refused(sr("export", source, "-o", tmp_path / "other"), f"needs ncnn: {install_extra('ncnn')}")
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".param", "")]


@pytest.mark.parametrize("half", [False, True])
def test_a_file_of_ncnn_goes_into_other_formats(weights, tmp_path, half):
    export(weights("compact", 2), tmp_path / "net-2x", precision="fp16" if half else "fp32")
    done = export(tmp_path / "net-2x.param", tmp_path / "back.pth")
    assert done.differences["sr_experiments"] == 0
