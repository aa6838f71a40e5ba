"""Weights for other programs: safetensors, or a `.pth` as BasicSR writes it; flat state dicts under BasicSR's names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sr_experiments.checkpoints.reading import load_generator
from sr_experiments.export.runnable import Run, Runnable
from sr_experiments.generators.spandrel_arch import SpandrelModel

StateDict = dict[str, Tensor]
Facts = Mapping[str, Any]


def write_safetensors(path: Path, weights: StateDict, raw: StateDict | None) -> None:
    """One file of the best weights there are; the raw ones beside averaged ones are left out."""
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)


def seal_safetensors(path: Path, facts: Facts) -> None:
    """Add the facts as metadata."""
    save_file(load_file(path), path, as_texts(facts))


def write_pth(path: Path, weights: StateDict, raw: StateDict | None) -> None:
    """`{"params": ...}`, and `"params_ema"` where averaged weights are kept beside the raw ones, which then are params.

    Args:
        path: the file.
        weights: the best there are.
        raw: as last trained, if these are others.
    """
    torch.save({"params": weights} if raw is None else {"params": raw, "params_ema": weights}, path)


def seal_pth(path: Path, facts: Facts) -> None:
    """Add the facts, plain data, under their own keys."""
    torch.save({**torch.load(path, weights_only=True), **facts}, path)


def as_texts(facts: Facts) -> dict[str, str]:
    """Facts for formats that know texts only."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}


def run_weights(path: Path) -> Run:
    """The network of a file of weights, as `sr upscale` reads it."""
    generator, _ = load_generator(path)
    return Runnable(generator.float())


def run_in_spandrel(path: Path) -> Run:
    """The network of a file of weights, as spandrel reads it; images padded to sizes that spandrel asks for."""
    from spandrel import ModelLoader

    import sr_experiments.export.spandrel_plugin  # noqa: F401  (registers this project's networks)

    return SpandrelModel(ModelLoader("cpu").load_from_file(path)).float().eval()
