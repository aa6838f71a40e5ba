"""OpenVINO gives what torch gives, without telling anyone; where it can't, torch does the work."""

import importlib.util
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.inference import runtimes
from sr_experiments.inference.device import choose_precision
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.runtimes import OpenVINONetwork, choose_runtime, compiled_by_openvino
from sr_experiments.packages.extras import install_extra
from tests.conftest import ROOT
from tests.inference.test_engine import network, photograph

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "name, scale",
    [
        ("msrresnet", 4),
        ("rrdbnet", 2),
        ("frvsr", 4),
        *(pytest.param(name, 4, marks=pytest.mark.slow) for name in ("srresnet", "rrdbnet", "basicvsr_uni")),
    ],
)
def test_openvino_equals_torch(name, scale):
    generator = network(name, scale=scale)
    by_torch, by_openvino = (Engine(generator, "cpu", "fp32", runtime=r) for r in ("torch", "openvino"))
    assert (by_torch.runtime, by_openvino.runtime) == ("torch", "openvino")
    for height, width in ((70, 50), (33, 91)):  # of any size
        frames = [photograph(height + 2, width)[i : i + height] for i in range(3)]
        for frame in frames:
            if by_torch.recurrent:
                expected, found = (engine.next_frame(frame).astype(int) for engine in (by_torch, by_openvino))
            else:
                expected, found = (engine.upscale(frame).astype(int) for engine in (by_torch, by_openvino))
            difference = np.abs(expected - found)
            assert difference.max() <= 1 and difference.mean() < 0.01
        by_torch.start_clip()
        by_openvino.start_clip()


def test_tiles_of_openvino_leave_no_seams():
    generator, image = network("msrresnet"), photograph(150, 200)
    whole, tiled = (Engine(generator, "cpu", "fp32", tile=tile, runtime="openvino") for tile in (None, 96))
    assert np.abs(whole.upscale(image).astype(int) - tiled.upscale(image)).max() <= 1


@pytest.mark.slow
def test_memory_does_not_grow_with_every_new_size():
    """OpenVINO would keep .33 MB of this network for each."""
    engine = Engine(GENERATORS["compact"](scale=2, features=16, convolutions=16), "cpu", "fp32", runtime="openvino")
    sizes = [(height, width) for height in range(8, 28) for width in range(8, 28)]
    np.random.default_rng(0).shuffle(sizes)
    pages = []
    for height, width in sizes:
        engine.upscale(np.zeros((height, width, 3), np.uint8))
        pages.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
    assert pages[-1] - pages[len(pages) // 2] < 20e6  # 67 MB else


@pytest.mark.slow
def test_signals_find_their_stack_after_networks_are_gone():
    """OpenVINO gives a thread another stack for its signals, and has to leave it one that is there."""
    script = """
import gc, os, signal
from sr_experiments.inference.engine import Engine
from tests.conftest import ROOT
from tests.inference.test_engine import network

engines = [Engine(network("msrresnet"), "cpu", "fp32", runtime="openvino") for _ in range(3)]
while engines:
    del engines[0]
    gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_estimates_flow_without_weights_in_fp32(precision):
    generator = network("basicvsr_uni", scale=4, flow="lucas_kanade")
    by_openvino = Engine(generator, "cpu", precision, runtime="openvino")._network
    assert isinstance(by_openvino.fnet, OpenVINONetwork)
    for height, width in ((24, 32), (17, 41)):
        frames = torch.rand(1, 2, 3, height, width)
        frames = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), 5, 1, 2).unflatten(0, (1, 2))
        with torch.inference_mode():
            expected, found = (of.flow(frames[:, 0], frames[:, 1]) for of in (generator, by_openvino))
        assert expected.abs().max() > 0.1 and (found - expected).abs().max() < 1e-4


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("basicvsr_uni", marks=pytest.mark.slow),
        *(pytest.param(name, marks=pytest.mark.compile) for name in ("msrresnet", "rrdbnet", "frvsr")),
    ],
)
def test_compiled_networks_give_what_the_others_give(name):
    by_torch, compiled = (Engine(network(name), "cpu", "fp32", runtime=r) for r in ("torch", "compile"))
    for height, width in ((70, 50), (33, 91)):
        frames = [photograph(height + 2, width)[i : i + height] for i in range(3)]
        for frame in frames:
            one = "next_frame" if by_torch.recurrent else "upscale"
            expected, found = (getattr(engine, one)(frame).astype(int) for engine in (by_torch, compiled))
            assert np.abs(expected - found).max() <= 1
        by_torch.start_clip()
        compiled.start_clip()


def test_it_does_not_report_its_use():
    compiled_by_openvino(nn.Conv2d(3, 3, 1), 3, 1, "fp32")
    assert sys.modules["openvino_telemetry"] is None


class Unknown(nn.Module):
    """Does what no converter knows."""

    def forward(self, x):
        return torch.linalg.svdvals(x).sum() + x


class FixedSize(nn.Module):
    """Tracing takes the size for a constant."""

    def forward(self, x):
        return x + torch.from_numpy(np.linspace(0, 1, x.shape[-1], dtype=np.float32))


@pytest.mark.parametrize("wrong", [Unknown(), FixedSize()])
def test_what_openvino_cannot_run_is_left_to_torch_and_takes_no_other_along(wrong, caplog):
    assert compiled_by_openvino(wrong, 3, 1, "fp32") is None
    assert "OpenVINO can't run this network, torch does" in caplog.text
    assert len(caplog.text.strip().splitlines()) == 1
    assert all(compiled_by_openvino(nn.Conv2d(3, 3, 3, padding=1), 3, 1, "fp32") for _ in range(6))


def test_auto_is_openvino_on_a_cpu_where_it_is_installed(monkeypatch):
    assert choose_runtime("auto", CPU, "fp32") == "openvino"
    assert choose_runtime("auto", CPU, "fp16") == "torch"
    assert choose_runtime("auto", torch.device("cuda"), "fp16") == "torch"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_runtime("auto", CPU, "fp32") == "torch"
    with pytest.raises(SRError, match=re.escape(f"needs openvino: {install_extra('openvino')}")):
        choose_runtime("openvino", CPU, "fp32")


def test_compiling_on_a_cpu_needs_a_compiler(monkeypatch):
    assert choose_runtime("compile", CPU, "bf16") == "compile"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SRError, match="needs a C\\+\\+ compiler"):
        choose_runtime("compile", CPU, "bf16")
    assert choose_runtime("compile", torch.device("cuda"), "fp16") == "compile"


@pytest.mark.parametrize(
    "name, precision, said", [("tensorrt", "fp32", "unknown --runtime tensorrt"), ("openvino", "fp16", "can't do fp16")]
)
def test_mistakes_are_one_line(name, precision, said):
    with pytest.raises(SRError, match=said):
        choose_runtime(name, CPU, precision)


@pytest.mark.slow
@pytest.mark.skipif(choose_precision("auto", CPU) != "bf16", reason="needs a CPU that computes in bf16")
def test_sums_of_many_blocks_are_not_rounded_to_bf16(monkeypatch):
    torch.manual_seed(0)
    generator = GENERATORS["rrdbnet"](features=32, growth=16, blocks=23)
    for layer in (generator.conv_first, generator.conv_up1, generator.conv_up2, generator.conv_hr, generator.conv_last):
        layer.reset_parameters()  # what the blocks make counts, as in a trained network
    lr = torch.rand(1, 3, 40, 48)
    with torch.inference_mode():
        expected = generator(lr)
        errors = {}
        for few in (runtimes.FEW_SUMS, 10**6):
            monkeypatch.setattr(runtimes, "FEW_SUMS", few)
            errors[few] = (compiled_by_openvino(generator, 3, 4, "bf16")(lr) - expected).square().mean()
    assert errors[32] < 0.5 * errors[10**6]
