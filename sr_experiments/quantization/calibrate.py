"""Ranges of inputs, steps of weights and corrected biases of every convolution, from calibration pictures.

NNCF finds them, in a process of its own: it and OpenVINO's converter are native code, and some networks crash it.
"""

import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sr_experiments.display.logging_setup import quietly
from sr_experiments.errors import SRError, first_line
from sr_experiments.inference.fast import StripNetwork, in_strips
from sr_experiments.inference.int8 import QuantizedConvolution
from sr_experiments.inference.runtimes import PROBES, traced
from sr_experiments.packages.extras import install_extra
from sr_experiments.processes.own_process import run_apart

NEEDED = f"making an int8 network needs nncf: {install_extra('int8')}"
REASON = "reason.txt"  # of the converter's process: why it has found nothing


class NotGoodEnough(SRError):
    """A network can't be had in int8, or not within the bounds and faster than bf16."""


class ConverterDied(NotGoodEnough):
    """The process that converts networks crashed or was killed, which another time it may not be."""


@dataclass(frozen=True)
class Calibrated:
    """A convolution in int8: its steps, and the bias that makes up for the mean error of rounding, (O,)."""

    layer: QuantizedConvolution
    bias: Tensor | None


@torch.inference_mode()
def calibrate(network: nn.Module, scale: int, inputs: Sequence[Tensor]) -> dict[str, Calibrated]:
    """Calibrate the convolutions of a network, in the parts that inference runs it in.

    Args:
        network: maps (1, C, H, W) to (1, C', scale * H, scale * W), C' being at most C; on the CPU.
        scale: of its output.
        inputs: of the network, (1, C, H, W) in [0, 1] of any sizes.

    Returns:
        By name of the convolution in the network, in the order of computation; without those that NNCF leaves out.

    Raises:
        NotGoodEnough: NNCF can't quantise this network.
        SRError: NNCF is not installed.
    """
    if importlib.util.find_spec("nncf") is None:
        raise SRError(NEEDED)
    parts = in_strips(network, inputs[0].shape[1], scale)
    with tempfile.TemporaryDirectory(prefix="sr_int8_") as folder:
        try:
            if isinstance(parts, StripNetwork):
                features = [(parts.extract_features(lr), lr) for lr in inputs]
                _save(parts.extract_features, [(lr,) for lr in inputs], folder, 0)
                _save(parts.reconstruct.network, features, folder, 1)  # type: ignore[arg-type]
            else:
                _save(network, [(lr,) for lr in inputs], folder, 0)
        except Exception as error:  # tracing raises all kinds
            raise NotGoodEnough(f"this network can't be quantised: {first_line(error)[:200]}") from error
        try:
            run_apart([sys.executable, "-m", "sr_experiments.quantization.converter", "."], folder, "NNCF")
        except RuntimeError as error:
            raise ConverterDied(f"this network can't be quantised: {error}") from error
        if (reason := Path(folder, REASON)).is_file():
            raise NotGoodEnough(f"this network can't be quantised: {reason.read_text(encoding='utf-8')}")
        found = {}
        for file in sorted(Path(folder).glob("*.found")):
            for name, (low, high, steps, bias) in torch.load(file, weights_only=True).items():
                found[name] = Calibrated(QuantizedConvolution(low, high, steps), bias)
    return found


def _save(part: nn.Module, inputs: Sequence[tuple[Tensor, ...]], folder: str, number: int) -> None:
    """Save a part of the network, traced, and its inputs, for the converter."""
    example = [torch.rand(1, x.shape[1], *PROBES[0]) for x in inputs[0]]
    script = traced(part, example)
    with quietly():
        torch.jit.save(script, f"{folder}/{number}.pt")
    torch.save([tuple(x.clone() for x in given) for given in inputs], f"{folder}/{number}.inputs")
