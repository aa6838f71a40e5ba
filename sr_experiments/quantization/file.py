"""Files of networks in int8: safetensors with the weights as integers, and a record that says what they are.

Nothing in a file is run: the network is built from the record's plain data, and OpenVINO is told the ranges. A file
therefore doesn't depend on the version of OpenVINO.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sr_experiments.checkpoints.file_kinds import is_safetensors
from sr_experiments.checkpoints.files import INT8
from sr_experiments.checkpoints.limits import check_plain
from sr_experiments.checkpoints.loading import generator_of
from sr_experiments.checkpoints.reading import Checkpoint, recorded_bits
from sr_experiments.errors import SRError, first_line
from sr_experiments.files.writing import replacing
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.inference.int8 import QuantizedConvolution
from sr_experiments.quantization.network import QuantizedNetwork, quantised_part

FORMAT = 1  # of the record
RANGE, STEPS = ".int8_range", ".int8_steps"  # names of tensors, after the convolution's


def write(path: Path, network: QuantizedNetwork) -> None:
    """Write a network.

    Raises:
        SRError: the disk is full or can't be written; then no file is left.
    """
    prefix = _prefix(network.generator)
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.generator.state_dict().items():
        layer = network.layers.get(name.removeprefix(prefix).removesuffix(".weight")) if _is_weight(name) else None
        tensors[name] = (layer.integers(tensor) if layer else tensor).contiguous()
    for name, layer in network.layers.items():
        tensors[prefix + name + RANGE] = torch.tensor([layer.low, layer.high])
        tensors[prefix + name + STEPS] = layer.steps.contiguous()
    record = {
        "format": FORMAT,
        "generator": network.config,
        "facts": network.facts,
        "bits": network.generator.bits,
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, {INT8: json.dumps(record)})


def holds_int8(path: Path) -> bool:
    """Tell whether a file is one of these, by its content."""
    return _record(path) is not None if path.is_file() else False


def read(path: Path) -> QuantizedNetwork:
    """Read a network.

    Raises:
        SRError: no such file, or it is damaged, foreign or of another version.
    """
    if not path.is_file():
        raise SRError(f"no {path}: check the path")
    record = _record(path)
    if record is None:
        raise SRError(f"{path} is no network in int8: make one with sr quantize")
    if record.get("format") != FORMAT:
        raise SRError(
            f"{path} has int8 format {str(record.get('format'))[:20]}, this version reads {FORMAT}: make it again with "
            "sr quantize"
        )
    try:
        return _read(path, record)
    except SRError:
        raise
    except Exception as error:  # a damaged file can hold anything
        raise SRError(f"{path} is damaged ({first_line(error)[:100]}): make it again with sr quantize") from error


def _read(path: Path, record: Mapping[str, Any]) -> QuantizedNetwork:
    with safe_open(path, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    layers, state = dict[str, QuantizedConvolution](), dict[str, Tensor]()
    for name, tensor in tensors.items():
        base = name.removesuffix(".weight")
        if name.endswith((RANGE, STEPS)):
            continue
        if tensor.dtype != torch.int8:
            state[name] = tensor
            continue
        low, high = (float(value) for value in tensors[base + RANGE])
        steps = tensors[base + STEPS].float()
        if not (low <= 0 <= high and low < high and math.isfinite(high - low)) or steps.shape != tensor.shape[:1]:
            raise SRError(
                f"{path} is damaged: its ranges of {base[:100]} make no sense; make it again with sr quantize"
            )
        layers[base] = QuantizedConvolution(low, high, steps)
        state[name] = layers[base].dequantised(tensor)
    check_plain({name: tensor for name, tensor in state.items() if tensors[name].dtype != torch.int8}, path)
    facts = record.get("facts")
    config = record.get("generator")
    if not isinstance(facts, Mapping) or not (config is None or isinstance(config, Mapping)) or not layers:
        raise SRError(f"{path} is damaged: its record is incomplete; make it again with sr quantize")
    by_spandrel = config is None
    plain = {name.removeprefix("net.") if by_spandrel else name: tensor for name, tensor in state.items()}
    source = f"{path.name} (int8 of {facts.get('source', 'an unknown checkpoint')})"
    bits = recorded_bits(record, path)
    generator = generator_of(Checkpoint(plain, None if config is None else dict(config), source, bits=bits))
    prefix = _prefix(generator)
    named = {name.removeprefix(prefix): layer for name, layer in layers.items()}
    part = quantised_part(generator)
    for name in named:
        if not isinstance(part.get_submodule(name), nn.Conv2d):
            raise SRError(f"{path} is damaged: {name[:100]} is no convolution; make it again with sr quantize")
    return QuantizedNetwork(generator, named, {**facts, "file": source}, None if config is None else dict(config))


def _record(path: Path) -> dict[str, Any] | None:
    """Return the record of a file; None if it has none."""
    if not is_safetensors(path):
        return None
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except Exception as error:
        raise SRError(f"{path} is damaged ({first_line(error)[:100]})") from error
    if INT8 not in metadata:
        return None
    try:
        record = json.loads(metadata[INT8])
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise SRError(f"{path} is damaged: its record can't be read; make it again with sr quantize")
    return record


def _prefix(generator: nn.Module) -> str:
    """Return what the names of the quantised part begin with in the whole network."""
    return "srnet." if isinstance(generator, RecurrentGenerator) else ""


def _is_weight(name: str) -> bool:
    return name.endswith(".weight")
