"""Networks for ncnn, a `.param` and a `.bin`, as Upscayl and realesrgan-ncnn-vulkan take them.

pnnx converts all but RRDBNet, and ncnn runs the result. Both end their process at networks that they can't do, so both
have their own.
"""

import importlib.util
import logging
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sr_experiments.display.logging_setup import quietly
from sr_experiments.errors import SRError
from sr_experiments.export.ncnn_rrdbnet import write_rrdbnet
from sr_experiments.export.ncnn_runtime import IMAGE_IN, IMAGE_OUT
from sr_experiments.export.runnable import Run, Runnable, Size
from sr_experiments.generators.rrdbnet import RRDBNet
from sr_experiments.packages.extras import install_extra
from sr_experiments.processes.own_process import run_apart

log = logging.getLogger(__name__)

TRACED: Size = (1, 24, 32)
PATIENCE = 600.0  # seconds for one conversion or one run


def write_ncnn(path: Path, network: Runnable, fp16: bool = False) -> None:
    """Write a `.param`, and the `.bin` beside it, with weights in fp16 or fp32; images are RGB in [0, 1].

    Raises:
        SRError: a package is missing.
        RuntimeError: pnnx can't convert the network.
    """
    for package in ("ncnn", "pnnx"):
        if importlib.util.find_spec(package) is None:
            raise SRError(f"{path.name} needs {package}: {install_extra('ncnn')}")
    if isinstance(network.generator, RRDBNet):
        write_rrdbnet(path, path.with_suffix(".bin"), network.generator, fp16)
        return
    from pnnx import EXEC_PATH

    if len(network.inputs) > 1:
        raise RuntimeError("it goes on from frame to frame, and ncnn's programs enlarge single images; use ONNX")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        [example] = network.example(network.large_enough(TRACED))
        with quietly():
            torch.jit.save(torch.jit.trace(network, example, check_trace=False), f"{folder}/network.pt")
        shape = str(list(example.shape)).replace(" ", "")
        command = [EXEC_PATH, "network.pt", f"inputshape={shape}f32", f"fp16={int(fp16)}"]
        run_apart(command, folder, "pnnx", PATIENCE)
        param, content = Path(folder, "network.ncnn.param"), Path(folder, "network.ncnn.bin")
        if not param.is_file() or not content.is_file():
            raise RuntimeError("pnnx makes no network for ncnn of it")
        text = param.read_text(encoding="utf-8")
        if foreign := sorted(set(re.findall(r"^((?:\w+\.)+\w+) ", text, re.MULTILINE))):
            raise RuntimeError(f"ncnn has no layer for {', '.join(foreign)[:150]}")
        path.write_text(_renamed(text), encoding="utf-8")
        content.replace(path.with_suffix(".bin"))


def _renamed(text: str) -> str:
    """Give the input and the output the names that Upscayl looks for."""
    for old, new in (("in0", IMAGE_IN), ("out0", IMAGE_OUT)):
        text = re.sub(rf"(?<=\s){old}(?=\s)", new, text)
    return text


def run_ncnn(path: Path) -> Run:
    """Load the network in ncnn, on the CPU, in fp32."""

    def run(images: Tensor) -> Tensor:
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/in.npy", np.ascontiguousarray(images.numpy()))
            module = "sr_experiments.export.ncnn_runtime"
            command = [sys.executable, "-m", module, str(path.absolute()), "in.npy", "out.npy"]
            run_apart(command, folder, "ncnn", PATIENCE)
            return torch.from_numpy(np.load(f"{folder}/out.npy"))

    return run


def check_for_upscayl(file: Path, scale: int, channels: int) -> None:
    """Say what keeps Upscayl from using a file: it takes the scale from the name, and gives RGB images."""
    if channels != 3:
        words = "1 channel" if channels == 1 else f"{channels} channels"
        log.warning("Upscayl and realesrgan-ncnn-vulkan give RGB images, and this network takes %s", words)
    elif not re.search(rf"(?<!\d){scale}x|x{scale}(?!\d)", file.stem, re.IGNORECASE):
        log.warning("Upscayl takes the scale from the name: call it %s-%dx there", file.stem, scale)
